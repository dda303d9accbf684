"""Proofs that a document names: a test, a resource of the template, or a section of another document."""

import ast
import re
from functools import cache
from pathlib import Path

from local_runtime.cloudformation import read_template
from tests.support.runtime import PROJECT


def exists(proof: str) -> bool:
    """Return whether `path::test`, `template.yaml#Resource` or `page.md#heading` is there."""
    path, _, test = proof.partition("::")
    if test:
        return (PROJECT / path).is_file() and test in _names_of_tests(PROJECT / path)
    path, _, name = proof.partition("#")
    if path == "template.yaml":
        return name in read_template(PROJECT / path)["Resources"]
    return path.endswith(".md") and (PROJECT / path).is_file() and name in _anchors(PROJECT / path)


@cache
def _names_of_tests(path: Path) -> set[str]:
    """Return the names of a file's tests, as pytest names them: `test_a`, `TestB::test_c`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

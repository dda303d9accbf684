"""Proofs that a document names: a resource of the template, or a section of another document."""

import re
from functools import cache
from pathlib import Path

from local_runtime.cloudformation import read_template
from tests.support.runtime import PROJECT


def exists(proof: str) -> bool:
    """Return whether `template.yaml#Resource` or `page.md#heading` is there."""
    path, _, name = proof.partition("#")
    if path == "template.yaml":
        return name in read_template(PROJECT / path)["Resources"]
    return path.endswith(".md") and (PROJECT / path).is_file() and name in _anchors(PROJECT / path)


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

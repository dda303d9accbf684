"""The pages of the documentation, and what they show as code."""

import re
from functools import cache
from pathlib import Path

from local_runtime.cloudformation import read_template
from tests.support.runtime import PROJECT

#: The folders that contain pages or that pages name. Others, such as .venv, do not belong to the project.
FOLDERS = ("benchmarks", "docs", "examples", "functions", "layers", "local_runtime", "public", "tests", "tools")
PAGES = {
    page: page.read_text()
    for page in sorted([*PROJECT.glob("*.md"), *(page for name in FOLDERS for page in (PROJECT / name).rglob("*.md"))])
}
#: What README and docs/ say.
DOCUMENTATION = "\n".join(
    text for page, text in PAGES.items() if page == PROJECT / "README.md" or page.is_relative_to(PROJECT / "docs")
)

_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks in one language."""
    return [match["text"] for match in _FENCE.finditer(text) if match["language"] == language]


def prose(text: str) -> str:
    """Return a text without its code blocks."""
    return _FENCE.sub("", text)


def commands(text: str) -> list[str]:
    """Return what a text shows as code and what it tells the reader to type."""
    return [*re.findall(r"`([^`\n]+)`", prose(text)), *blocks(text, "sh")]


def exists(target: str, *, page: Path = PROJECT / "README.md") -> bool:
    """Return whether what a page links to is in the project: `path`, `page.md#heading` or `template.yaml#Resource`."""
    path, _, name = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(PROJECT):
        return False
    return not name or name in _names_in(file)


@cache
def _names_in(file: Path) -> set[str]:
    if file.suffix == ".yaml":
        return {*read_template(file)["Resources"]}
    # The anchors that GitHub makes of headings.
    headings = re.findall(r"^#+ (.*)$", prose(file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

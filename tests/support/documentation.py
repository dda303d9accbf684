"""Read the pages of the documentation: their code blocks, commands and link targets."""

import re
import textwrap
from functools import cache
from pathlib import Path

from local_runtime.cloudformation import read_template
from tests.support.runtime import PROJECT

#: The folders of the project that contain pages or that pages name. Folders such as .venv do not belong to it.
FOLDERS = ("benchmarks", "docs", "examples", "functions", "layers", "local_runtime", "public", "tests", "tools")
PAGES = {
    page: page.read_text()
    for page in sorted([*PROJECT.glob("*.md"), *(page for name in FOLDERS for page in (PROJECT / name).rglob("*.md"))])
}
#: The text of README.md and of all pages in docs/.
DOCUMENTATION = "\n".join(
    text for page, text in PAGES.items() if page == PROJECT / "README.md" or page.is_relative_to(PROJECT / "docs")
)

#: A fence in a list is indented.
_FENCE = re.compile(r"^ *```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return [textwrap.dedent(match["text"]) for match in _FENCE.finditer(text) if match["language"] == language]


def prose(text: str) -> str:
    """Return the text of a page without its code blocks."""
    return _FENCE.sub("", text)


def commands(text: str) -> list[str]:
    """Return the inline code and the shell blocks of a page, which contain the commands."""
    return [*re.findall(r"`([^`\n]+)`", prose(text)), *blocks(text, "sh")]


def exists(target: str, *, page: Path = PROJECT / "README.md") -> bool:
    """Return whether a link's target is in the project: `path`, `page.md#heading` or `template.yaml#Resource`."""
    path, _, name = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(PROJECT):
        return False
    return not name or name in _names_in(file)


@cache
def _names_in(file: Path) -> set[str]:
    if file.suffix == ".yaml":
        return {*read_template(file)["Resources"]}
    # GitHub makes an anchor from each heading in this way.
    headings = re.findall(r"^#+ (.*)$", prose(file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

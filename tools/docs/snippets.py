"""Code on documentation pages: a fence names a symbol, and ``make docs`` writes the symbol's source into the fence.

The first line of such a fence is ```` ```python functions/login/app.py::login ````. Commas separate several symbols of
one file. The name of a method or an inner function starts with the outer name: ``outer.inner``.
"""

import ast
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]

_FENCE: Final = re.compile(
    r"^(?P<head>```python (?P<path>[^\s:]+)::(?P<symbols>\S+)\n).*?^```$", re.MULTILINE | re.DOTALL
)


def has_snippets(page: str) -> bool:
    """Return whether a fence of a page names a symbol."""
    return bool(_FENCE.search(page))


def with_snippets(page: str) -> str:
    """Return the text of a page with the current source in each fence that names a symbol."""

    def fence(match: re.Match[str]) -> str:
        parts = [source_of(match["path"], symbol) for symbol in match["symbols"].split(",")]
        has_blocks = any(re.search("^(@|async def |class |def )", part, re.MULTILINE) for part in parts)
        return match["head"] + ("\n\n" if has_blocks else "").join(parts) + "```"

    return _FENCE.sub(fence, page)


def source_of(path: str, symbol: str) -> str:
    """Return the source of a symbol with the comment above it and without its docstring.

    Raises:
        LookupError: The file or the symbol does not exist.
    """
    file = PROJECT / path
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = _find(ast.parse(text).body, symbol)
    if found is None:
        message = f"{path}::{symbol} does not exist: correct the fence that names it"
        raise LookupError(message)
    lines = text.splitlines(keepends=True)
    first = min(node.lineno for node in [found, *getattr(found, "decorator_list", [])]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    docstring = range(0)
    if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(found):
        end = found.body[0].end_lineno or 0
        while end < len(lines) and not lines[end].strip():
            end += 1
        docstring = range(found.body[0].lineno - 1, end)
    shown = (
        line for number, line in enumerate(lines[: found.end_lineno]) if number >= first and number not in docstring
    )
    return textwrap.dedent("".join(shown))


def _find(nodes: Iterable[ast.AST], symbol: str) -> ast.stmt | None:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if symbol == node.name:
                return node
            if symbol.startswith(f"{node.name}."):
                return _find(ast.walk(node), symbol.removeprefix(f"{node.name}."))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if symbol in map(ast.unparse, targets):
                return node
    return None

"""Check the language of Markdown, docstrings, comments, test names and pages, and README's size, by ``prose.toml``.

``python -m tools.docs.prose`` checks every file that git tracks, ``python -m tools.docs.prose FILE…`` some of them.
"""

import ast
import inspect
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

from tools.docs.page_texts import Text, html_texts, script_texts

PROJECT: Final = Path(__file__).parents[2]
#: A folder with the code of other authors.
_LIBRARIES: Final = "public/vendor/"
_MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
#: This word replaces inline code, which counts as one word of its sentence.
_CODE: Final = "code"
_INLINE_CODE: Final = re.compile(r"``.+?``|`.+?`", re.DOTALL)
#: The end of a paragraph in a docstring: a blank line, or the next entry of a section such as ``Args`` or of a list.
_NEXT_PARAGRAPH: Final = re.compile(r"\n(?=\s*\n|\s+[\w*, ]+: |\s*[-*] )")
#: The end of a sentence. Items of a line such as "README · API · tokens" are sentences, too.
_NEXT_SENTENCE: Final = re.compile(r"(?<=[.!?])[)\"”]?\s+(?=[\"“(]?[A-Z0-9])|\s·\s")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text without markup, and the line at which it begins in its file."""

    line: int
    text: str
    #: Whether sentences are checked in addition to words. A comment need not be a sentence.
    is_prose: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a file."""

    lines: int
    bytes: int

    def __str__(self) -> str:
        """Return the size as text."""
        return f"{self.lines} lines and {self.bytes} bytes"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in ``prose.toml``."""

    #: Regular expressions of words and phrases, and their replacements.
    instead_of: dict[str, str]
    words_in_a_sentence: int
    #: Files that do not follow the rules yet. A file that follows them must leave the list.
    not_rewritten: list[str]
    #: The largest size of a file, by its name.
    sizes: dict[str, Size] = field(default_factory=dict)


def load_rules(file: Path) -> Rules:
    """Return the rules in a file."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    sizes = {name: Size(**size) for name, size in document.pop("sizes", {}).items()}
    return Rules(**document, sizes=sizes)


def passages_of(path: Path) -> Iterator[Passage]:
    """Yield the passages of a file with one of the suffixes in ``_READERS``."""
    yield from _READERS[path.suffix](path.read_text(encoding="utf-8"))


def faults(passage: Passage, rules: Rules) -> Iterator[str]:
    """Yield a description of each place in a passage that breaks a rule."""
    text = " ".join(passage.text.split())
    for pattern, instead in rules.instead_of.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            yield f"“{match[0]}”: {instead}"
    if not passage.is_prose:
        return
    if ";" in text:
        yield "a semicolon: write two sentences"
    for sentence in _NEXT_SENTENCE.split(text):
        length = len(re.findall(r"\S*\w\S*", sentence))
        if length > rules.words_in_a_sentence:
            yield f"a sentence of {length} words, at most {rules.words_in_a_sentence}: “{sentence[:60]}…”"


def check(paths: Iterable[Path], rules: Rules, *, root: Path = PROJECT) -> Iterator[str]:
    """Yield a line for each fault, and for each file of the list ``not_rewritten`` that has none."""
    for path in paths:
        name = path.resolve().relative_to(root).as_posix()
        found = [f"{name}:{passage.line}: {fault}" for passage in passages_of(path) for fault in faults(passage, rules)]
        found += [f"{name}: {fault}" for fault in _size_faults(path, rules.sizes.get(name))]
        if name not in rules.not_rewritten:
            yield from found
        elif not found:
            yield f"{name}: follows the rules now; delete it from not_rewritten in prose.toml"


def _size_faults(path: Path, limit: Size | None) -> Iterator[str]:
    content = path.read_bytes()
    size = Size(lines=content.count(b"\n"), bytes=len(content))
    if limit and (size.lines > limit.lines or size.bytes > limit.bytes):
        yield f"has {size}, at most {limit}: move details to another page"


def _markdown_passages(source: str) -> Iterator[Passage]:
    """Yield the passages of a page, except its block quotes, which are texts of other authors."""
    quotes = 0
    for token in _MARKDOWN.parse(source):
        quotes += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if token.type == "inline" and token.map and not quotes:
            parts = (_CODE if child.type == "code_inline" else child.content or " " for child in token.children or ())
            yield Passage(token.map[0] + 1, "".join(parts))


def _python_passages(source: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Passage(node.lineno, node.name.replace("_", " "), is_prose=False)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstring_passages(node)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(token.start[0], _INLINE_CODE.sub(_CODE, token.string), is_prose=False)


def _docstring_passages(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Passage]:
    docstring = ast.get_docstring(node, clean=False)
    if docstring is None:
        return
    line = node.body[0].lineno
    # Replace code first, because a pattern for the end of a paragraph could match in it.
    for paragraph in _NEXT_PARAGRAPH.split(_INLINE_CODE.sub(_without_words, docstring)):
        yield Passage(line, inspect.cleandoc(paragraph))
        line += paragraph.count("\n") + 1


def _without_words(code: re.Match[str]) -> str:
    return _CODE + "\n" * code[0].count("\n")


def _page_passages(texts: Iterable[Text]) -> Iterator[Passage]:
    return (Passage(*text) for text in texts)


_READERS: Final[Mapping[str, Callable[[str], Iterator[Passage]]]] = {
    ".md": _markdown_passages,
    ".py": _python_passages,
    ".html": lambda source: _page_passages(html_texts(source)),
    ".js": lambda source: _page_passages(script_texts(source)),
}


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each fault, and return the exit status."""
    names = sys.argv[1:] if arguments is None else arguments
    if not names:
        tracked = ["git", "ls-files", "-z", *(f"*{suffix}" for suffix in _READERS)]
        names = subprocess.check_output(tracked, cwd=PROJECT, text=True).split("\0")[:-1]  # noqa: S603
    own = [PROJECT / name for name in names if not name.startswith(_LIBRARIES)]
    paths = [path for path in own if path.suffix in _READERS]
    found = list(check(paths, load_rules(PROJECT / "prose.toml")))
    print(*found, sep="\n", end="\n" if found else "")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The texts of HTML pages and of their scripts: what a user reads, and what a developer reads in comments."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final, TypeAlias

from pygments.lexers.javascript import JavascriptLexer
from pygments.token import Comment, String

#: A line number, a text, and whether the text has to consist of sentences.
Text: TypeAlias = tuple[int, str, bool]

#: Elements that are a part of the sentence around them. Every other element begins a text of its own.
_INLINE: Final = frozenset({"a", "code", "em", "img", "span", "strong"})
#: Elements whose content is no language.
_NO_LANGUAGE: Final = frozenset({"script", "style"})
#: Attributes that a user sees or hears.
_READ: Final = ("alt", "aria-label", "placeholder", "title")
#: What stands for code, and for a value that a string literal contains, in a sentence.
_CODE: Final = "code"
_VALUE: Final = "value"
_INLINE_CODE: Final = re.compile(r"`[^`]*`")


class _Page(HTMLParser):
    """Collects the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[Text] = []
        self._parts: list[str] = []
        self._line = 1
        self._code = 0
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._enter(tag)
        values = dict(attrs)
        read = [values.get(name) for name in _READ]
        if values.get("name") == "description":
            read.append(values.get("content"))
        self.texts += [(self.getpos()[0], value, True) for value in read if value]
        self._code += tag == "code"
        self._hidden += tag in _NO_LANGUAGE

    def handle_endtag(self, tag: str) -> None:
        self._enter(tag)
        if tag == "code":
            self._code -= 1
            self._parts.append(_CODE)
        self._hidden -= tag in _NO_LANGUAGE

    def handle_data(self, data: str) -> None:
        if self._code or self._hidden:
            return
        if not "".join(self._parts).strip():
            blank = data[: len(data) - len(data.lstrip())]
            self._line = self.getpos()[0] + blank.count("\n")
        self._parts.append(data)

    def handle_comment(self, data: str) -> None:
        self.texts.append((self.getpos()[0], data, False))

    def _enter(self, tag: str) -> None:
        if tag not in _INLINE:
            self.end()

    def end(self) -> None:
        """Add the text that has been collected."""
        text = "".join(self._parts)
        self._parts.clear()
        if text.strip():
            self.texts.append((self._line, text, True))


def html_texts(source: str) -> Iterator[Text]:
    """Yield the texts of a page, of its attributes and of its comments."""
    page = _Page()
    page.feed(source)
    page.close()
    page.end()
    yield from page.texts


def script_texts(source: str) -> Iterator[Text]:
    """Yield the comments of a script, and its string literals that have several words.

    A literal that begins with a capital letter is checked as prose. Other literals may be a part of a sentence, a
    selector or a list of classes: only their words are checked. Literals that ``+`` joins are one text.
    """
    line, begin, literal, depth = 1, 1, "", 0
    for kind, token in JavascriptLexer(stripnl=False, ensurenl=False).get_tokens(source):
        if kind is String.Interpol:
            depth += 1 if token == "${" else -1
            literal += _VALUE if token == "${" else ""
        elif kind in Comment:
            yield line, _INLINE_CODE.sub(_CODE, token), False
        elif kind in String and kind is not String.Regex and not depth:
            begin = begin if literal else line
            literal += token.strip("`") if kind is String.Backtick else token[1:-1]
        elif literal and not depth and token != "+" and not token.isspace():
            yield from _literal(begin, literal)
            literal = ""
        line += token.count("\n")


def _literal(line: int, literal: str) -> Iterator[Text]:
    text = _INLINE_CODE.sub(_CODE, literal)
    if " " in text.strip():
        yield line, text, text[0].isupper() or ". " in text

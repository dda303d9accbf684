"""Render mails: the text of a kind and locale becomes a subject, a plain text, and HTML that says the same.

A text is the file ``<locale>/<kind>.txt``. Its first line is the subject, and blank lines separate paragraphs. Two
paragraphs look different in HTML: ``Label: $link`` becomes a button, and ``$code`` alone becomes large. ``frame.html``
is around the HTML of each mail, and ``footer.txt`` is at the end of each mail.

The variables are those of the kind, with links in place of tokens (``links``), and ``$service``, the service's name. A
line with a variable that is empty or 0 is left out, such as the device of an unknown client.

A deployer replaces any of these files by one of the same name in the folder ``MAIL_TEXTS_DIR``. All files are checked
before the first mail, so that a fault shows at once and not with the first mail of a rare kind.
"""

import re
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib import resources
from string import Template
from typing import Final

from auth_common.errors import Misconfigured
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.links import link_variables
from auth_common.settings import settings

#: RFC 5322 section 2.1.1 recommends lines of at most 78 characters.
_LINE_WIDTH: Final = 76
_FRAME: Final = "frame.html"
_FRAME_VARIABLES: Final = frozenset({"locale", "subject", "content", "footer"})
_FOOTER: Final = "footer"
#: The variable that each text may contain: the service's name, which is a setting.
_SERVICE: Final = "service"
_NOTHING: Final = frozenset({"", "0"})
_BUTTON: Final = re.compile(r"(?P<label>[^$\n]+): \$(?P<variable>\w*link)")
_CODE: Final = re.compile(r"\$(?P<variable>code)")


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail in the user's language, without its addresses."""

    #: A constant for each kind and locale. It contains no input, and reveals no secret on a lock screen.
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of one kind and locale. Its variables are not filled in yet."""

    subject: str
    paragraphs: tuple[str, ...]


def render(kind: MailKind, *, locale: str | None, variables: Mapping[str, str]) -> RenderedMail:
    """Return a mail in the user's language.

    Args:
        kind: The kind of the mail.
        locale: One of ``MAIL_LOCALES``. Any other value, or None, means the first of them.
        variables: The values of the kind's variables. They are inserted as text and never as markup.

    Raises:
        KeyError: A variable of the text is missing.
        Misconfigured: A text is not valid (``check_texts``).

    """
    if locale not in settings().mail_locales:
        locale = settings().mail_locales[0]
    texts, frame = _texts(), _frame()
    text, footer = texts[locale, kind], texts[locale, _FOOTER]
    # A value never begins a line, so it cannot pretend to be a part of the text.
    values = {name: " ".join(value.split()) for name, value in link_variables(kind, variables).items()}
    values[_SERVICE] = settings().mail_from_name
    paragraphs = [kept for paragraph in text.paragraphs if (kept := _without_empty_lines(paragraph, values))]
    return RenderedMail(
        subject=text.subject,
        # "-- " begins a signature, which mail programs show less prominently (RFC 3676 section 4.3).
        text="\n\n".join([*(_as_text(paragraph, values) for paragraph in paragraphs), "-- "])
        + "".join(f"\n{_as_text(paragraph, values)}\n" for paragraph in footer.paragraphs),
        html=frame.substitute(
            locale=locale,
            subject=escape(text.subject),
            content="\n".join(_as_html(paragraph, values) for paragraph in paragraphs),
            footer="\n".join(_as_html(paragraph, values) for paragraph in footer.paragraphs),
        ),
    )


def check_texts() -> None:
    """Check the texts of all kinds and locales.

    Raises:
        Misconfigured: A text is missing, or has a fault. The message names the file.

    """
    _texts()
    _frame()


def _without_empty_lines(paragraph: str, values: Mapping[str, str]) -> str:
    lines = paragraph.splitlines()
    return "\n".join(line for line in lines if _NOTHING.isdisjoint(values[name] for name in _variables(line)))


def _as_text(paragraph: str, values: Mapping[str, str]) -> str:
    if button := _BUTTON.fullmatch(paragraph):
        # The link has its own line, and mail programs find its end.
        return f"{button['label']}:\n{values[button['variable']]}"
    return "\n".join(_wrap(line, values) for line in paragraph.splitlines())


def _wrap(line: str, values: Mapping[str, str]) -> str:
    filled = Template(line).substitute(values)
    # A line with a value is not wrapped. Otherwise an attacker could choose a value of which a part begins a line.
    return filled if _variables(line) - {_SERVICE} else textwrap.fill(filled, _LINE_WIDTH)


def _as_html(paragraph: str, values: Mapping[str, str]) -> str:
    if button := _BUTTON.fullmatch(paragraph):
        link = escape(values[button["variable"]])
        # The address is also there as text, for users who do not trust a button or cannot click on it.
        return f'<p><a class="button" href="{link}">{escape(button["label"])}</a></p>\n<p class="url">{link}</p>'
    kind = ' class="code"' if _CODE.fullmatch(paragraph) else ""
    lines = escape(Template(paragraph).substitute(values)).splitlines()
    return f"<p{kind}>{'<br>'.join(lines)}</p>"


def _variables(text: str) -> set[str]:
    return set(Template(text).get_identifiers())


@lru_cache(maxsize=1)
def _texts() -> Mapping[tuple[str, str], _Text]:
    """Return the texts by locale and by kind, the footer included."""
    return {
        (locale, name): _read_text(f"{locale}/{name}.txt", variables)
        for locale in settings().mail_locales
        for name, variables in [*((kind, _variables_of(kind)) for kind in MailKind), (_FOOTER, ())]
    }


def _variables_of(kind: MailKind) -> Collection[str]:
    return link_variables(kind, dict.fromkeys(MAIL_RULES[kind].variables, "-"))


def _read_text(file: str, variables: Collection[str]) -> _Text:
    content = _read(file)
    used = _checked_variables(content, file=file, known={*variables, _SERVICE})
    if "link" in variables and "link" not in used:
        message = f"MAIL_TEXTS_DIR: {file} must contain $link"
        raise Misconfigured(message)
    paragraphs = tuple(re.split(r"\n\s*\n", content.strip()))
    if file.endswith(f"/{_FOOTER}.txt"):
        return _Text("", paragraphs)
    if "$" in paragraphs[0] or "\n" in paragraphs[0] or not paragraphs[1:]:
        message = f"MAIL_TEXTS_DIR: {file} must begin with the subject, which has no variables, and a blank line"
        raise Misconfigured(message)
    return _Text(paragraphs[0], paragraphs[1:])


@lru_cache(maxsize=1)
def _frame() -> Template:
    content = _read(_FRAME)
    if "content" not in _checked_variables(content, file=_FRAME, known=_FRAME_VARIABLES):
        message = f"MAIL_TEXTS_DIR: {_FRAME} must contain $content"
        raise Misconfigured(message)
    return Template(content)


def _checked_variables(content: str, *, file: str, known: Collection[str]) -> set[str]:
    used = _variables(content)
    if not Template(content).is_valid() or not used <= set(known):
        names = ", ".join(f"${name}" for name in sorted(known))
        message = f"MAIL_TEXTS_DIR: {file} may contain the variables {names} only, and $$ for a dollar sign"
        raise Misconfigured(message)
    return used


def _read(file: str) -> str:
    """Return the deployer's file, or the built-in one if there is none."""
    folder = settings().mail_texts_dir
    if folder is not None and not folder.is_dir():
        raise Misconfigured("MAIL_TEXTS_DIR: must be a folder that exists")
    own = folder / file if folder else None
    source = own if own and own.is_file() else resources.files("auth_common.mail").joinpath("texts", file)
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"MAIL_TEXTS_DIR: {file} is missing, and there is no built-in text for this locale"
        raise Misconfigured(message) from None
    except (OSError, UnicodeDecodeError):
        message = f"MAIL_TEXTS_DIR: {file} must be text in UTF-8 that the service can read"
        raise Misconfigured(message) from None

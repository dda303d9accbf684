"""Render mails: the variables of a kind become a subject and a text."""

from collections.abc import Mapping
from dataclasses import dataclass

from auth_common.mail.kinds import MailKind


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail in the user's language, without its addresses."""

    subject: str
    text: str
    html: str


def render(kind: MailKind, *, locale: str | None, variables: Mapping[str, str]) -> RenderedMail:
    """Return a mail in the user's language."""
    text = "\n".join(f"{name}: {value}" for name, value in variables.items())
    return RenderedMail(f"{kind} {locale}", text, text)

"""The language of a user's mails."""

from collections.abc import Iterator
from typing import Final

from auth_common.settings import settings

#: Languages that are read from the header. Browsers send fewer.
_MAX_LANGUAGES: Final = 20


def choose_locale(accept_language: str | None) -> str:
    """Return the one of ``MAIL_LOCALES`` that the user prefers, or the first of them if the user prefers another.

    A request for ``de-CH`` is satisfied by ``de``, and not the other way round (lookup, RFC 4647 section 3.4).

    Args:
        accept_language: The header ``Accept-Language`` (RFC 9110 section 12.5.4). Faulty parts are ignored.

    """
    locales = settings().mail_locales
    known = {locale.lower(): locale for locale in locales}
    for _, tag in sorted(_preferences(accept_language or ""), key=lambda preference: -preference[0]):
        while tag:
            if tag in known:
                return known[tag]
            tag = tag.rpartition("-")[0]  # noqa: PLW2901 - each round has a less specific tag
    return locales[0]


def _preferences(header: str) -> Iterator[tuple[float, str]]:
    """Yield each language with its weight, in the header's order. A weight of 0 means "not acceptable"."""
    for part in header.lower().split(",", _MAX_LANGUAGES)[:_MAX_LANGUAGES]:
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if quality > 0:
            yield quality, tag.strip()

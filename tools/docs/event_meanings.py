"""``make docs``: the texts of the event catalogue as JavaScript, for public/security.html."""

import json
from typing import Final

from auth_common.events.catalogue import CATALOGUE

_HEAD: Final = """\
// What each security event means and what to do about it: the catalogue of events, in the page's language. Made by
// `make docs` from layers/common/auth_common/events/catalogue/__init__.py.
"""


def script() -> str:
    """Return the text of the script event-meanings.js."""
    meanings = {
        str(event): {"when": entry.when, "respond": entry.respond, "reasons": dict(entry.reasons)}
        for event, entry in sorted(CATALOGUE.items())
    }
    return f"{_HEAD}\nexport const EVENT_MEANINGS = {json.dumps(meanings, indent=2, ensure_ascii=False)};\n"

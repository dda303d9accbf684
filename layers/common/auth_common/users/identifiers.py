"""Identifiers as they come in paths and bodies."""

import re
from typing import Final
from uuid import UUID

#: RFC 9562 section 4. ``UUID`` also accepts braces, ``urn:uuid:``, and hyphens in any place.
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def parse_id(text: str) -> UUID | None:
    """Return the UUID in ``text``, in small letters or capitals. Return None if ``text`` is anything else."""
    return UUID(text) if _UUID.fullmatch(text) else None

"""UUIDs in paths and bodies."""

import re
from typing import Final
from uuid import UUID

#: RFC 9562 section 4. ``UUID`` also accepts braces, ``urn:uuid:``, and hyphens in any place.
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID that ``text`` spells, in small letters or capitals. Return None if it spells none."""
    return UUID(text) if _UUID.fullmatch(text) else None

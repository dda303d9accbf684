"""Identifiers as they come in paths."""

from uuid import UUID


def parse_id(text: str) -> UUID | None:
    """Return the UUID in ``text``, in the one spelling that we issue; ``None`` for any other, which names nobody."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None

"""Cursors: where a page of a list ended, as an opaque string (RFC 8288 leaves its form to the server).

A cursor names a place in the order and not a number of rows, so that pages neither skip nor repeat while rows come and
go. It carries no authority: every query is limited to what the caller may see, whatever the cursor says.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from auth_common.errors import FieldError, ValidationFailed

_Place = TypeVar("_Place")
_CursorParameter = Annotated[str | None, Query(max_length=200)]


def encode_cursor(place: tuple[datetime | int | UUID, ...] | None) -> str | None:
    """Return ``place`` as a cursor; ``None``, which means there is no further page, stays ``None``."""
    if place is None:
        return None
    parts = (part.isoformat() if isinstance(part, datetime) else str(part) for part in place)
    return base64.urlsafe_b64encode(" ".join(parts).encode()).decode()


def _decode(cursor: str | None, parse: Callable[..., _Place]) -> _Place | None:
    """Return the place that ``parse`` makes of the parts of a cursor.

    Raises:
        ValidationFailed: the cursor is not one of this list's.

    """
    if cursor is None:
        return None
    try:
        return parse(*base64.urlsafe_b64decode(cursor).decode("ascii").split(" "))
    except (ValueError, OverflowError, TypeError):
        raise ValidationFailed(FieldError("cursor", "is not a cursor of this list")) from None


async def _decode_session_cursor(cursor: _CursorParameter = None) -> tuple[datetime, UUID] | None:
    return _decode(cursor, lambda time, key: (datetime.fromisoformat(time).astimezone(UTC), UUID(key)))


async def _decode_audit_cursor(cursor: _CursorParameter = None) -> tuple[int, UUID, int] | None:
    return _decode(cursor, lambda time, chain_id, sequence: (_int(time, 63), UUID(chain_id), _int(sequence, 31)))


def _int(text: str, bits: int) -> int:
    """Return ``text`` as a number that a database column of so many bits takes."""
    number = int(text)
    if number >= 1 << bits or number < 0:
        raise ValueError(text)
    return number


#: Where the page that the caller has seen ended: in the list of sessions, in the audit log.
SessionCursor = Annotated[tuple[datetime, UUID] | None, Depends(_decode_session_cursor)]
AuditCursor = Annotated[tuple[int, UUID, int] | None, Depends(_decode_audit_cursor)]

"""Cursors: where a page of a list ended, as an opaque string (RFC 8288 leaves its form to the server).

A cursor names a place in the order and not a number of rows, so that pages neither skip nor repeat while rows come and
go. It carries no authority: every query is limited to what the caller may see, whatever the cursor says.
"""

import base64
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from auth_common.errors import FieldError, ValidationFailed

Place = tuple[datetime, UUID]


def encode_cursor(place: Place | None) -> str | None:
    """Return ``place`` as a cursor; ``None``, which means there is no further page, stays ``None``."""
    if place is None:
        return None
    time, key = place
    return base64.urlsafe_b64encode(f"{time.isoformat()} {key}".encode()).decode()


async def _decode_cursor(cursor: Annotated[str | None, Query(max_length=200)] = None) -> Place | None:
    if cursor is None:
        return None
    try:
        time, key = base64.urlsafe_b64decode(cursor).decode("ascii").split(" ")
        return datetime.fromisoformat(time).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        raise ValidationFailed(FieldError("cursor", "is not a cursor of this list")) from None


#: Where the page that the caller has seen ended.
Cursor = Annotated[Place | None, Depends(_decode_cursor)]

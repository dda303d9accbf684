"""Cursors: where a page of a list ended, as an opaque string (RFC 8288 leaves its form to the server).

A cursor names a place in the order and not a number of rows, so that pages neither skip nor repeat while rows come and
go. It carries no authority: every query is limited to what the caller may see, whatever the cursor says.
"""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from auth_common.errors import FieldError, ValidationFailed

_Place = TypeVar("_Place")
#: A place of the audit log: time, chain and sequence, as they are stored (``audit_log.store``).
AuditPlace = tuple[Any, Any, Any]
#: What the cursor of a place begins with that no record of ours has.
_FOREIGN: Final = "~"
#: Bytes of each of its parts: a cursor has 200 characters at most.
_LONGEST_PART: Final = 20
_HEXADECIMAL_UUID: Final = re.compile("[0-9a-f]{32}")
_CursorParameter = Annotated[str | None, Query(max_length=200)]


def encode_cursor(place: tuple[datetime | int | UUID, ...] | None) -> str | None:
    """Return ``place`` as a cursor. Return None for None, which means that there is no further page."""
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


def encode_audit_cursor(place: AuditPlace | None) -> str | None:
    """Return the cursor of a place in the audit log.

    What an attacker has inserted may have anything as its time, chain and sequence. The cursor of such a place begins
    with a mark, names each type, and has the beginning of long values, so that the next page goes on behind them.
    """
    if place is None:
        return None
    time, chain_id, sequence = place
    if isinstance(chain_id, str) and _HEXADECIMAL_UUID.fullmatch(chain_id):
        chain_id = UUID(chain_id)  # as SQLite has it
    if isinstance(chain_id, UUID) and _fits(time, 63) and _fits(sequence, 31):
        return encode_cursor((time, chain_id, sequence))
    return base64.urlsafe_b64encode(" ".join([_FOREIGN, *map(_encode_part, place)]).encode()).decode()


def _fits(value: Any, bits: int) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << bits


def _encode_part(part: Any) -> str:
    if isinstance(part, UUID):
        return f"u{part.hex}"
    if isinstance(part, int):
        return f"i{part}"
    if isinstance(part, float):
        return f"f{part.hex()}"
    if isinstance(part, str):
        return f"t{part.encode()[:_LONGEST_PART].decode(errors='ignore').encode().hex()}"
    return f"b{bytes(part)[:_LONGEST_PART].hex()}"


def _decode_part(part: str) -> Any:
    text = part[1:]
    if part.startswith("u"):
        return UUID(text)
    if part.startswith("i"):
        return _within(int(text))
    if part.startswith("f"):
        return float.fromhex(text)
    if part.startswith("t"):
        return bytes.fromhex(text).decode()
    if part.startswith("b"):
        return bytes.fromhex(text)
    raise ValueError(part)


def _within(number: int) -> int:
    """Return a number that a database takes."""
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(number)
    return number


async def _decode_audit_cursor(cursor: _CursorParameter = None) -> AuditPlace | None:
    return _decode(cursor, _audit_place)


def _audit_place(*parts: str) -> AuditPlace:
    if parts[0] == _FOREIGN:
        time, chain_id, sequence = map(_decode_part, parts[1:])
        return time, chain_id, sequence
    time, chain_id, sequence = parts
    return _int(time, 63), UUID(chain_id), _int(sequence, 31)


def _int(text: str, bits: int) -> int:
    """Return ``text`` as a number that a database column of so many bits takes."""
    number = int(text)
    if number >= 1 << bits or number < 0:
        raise ValueError(text)
    return number


#: Where the page that the caller has seen ended: in the list of sessions, in the audit log.
SessionCursor = Annotated[tuple[datetime, UUID] | None, Depends(_decode_session_cursor)]
AuditCursor = Annotated[AuditPlace | None, Depends(_decode_audit_cursor)]

"""Cursors: the end of a page as an opaque string. The next page begins after it.

A cursor is a position in the order of the list and not a number of rows. So no page skips or repeats a row while others
are added or deleted. A cursor grants no access, because each query returns only what the caller may see.
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
#: The first part of a cursor whose record this service cannot have written.
_FOREIGN: Final = "~"
#: Of each part of such a cursor. A cursor has at most 200 characters.
_MAX_PART_BYTES: Final = 20
_HEXADECIMAL_UUID: Final = re.compile("[0-9a-f]{32}")
_CursorParameter = Annotated[str | None, Query(max_length=200)]


def encode_cursor(place: tuple[datetime | int | UUID, ...] | None) -> str | None:
    """Return the cursor of a position. Return None for None: the list has no further page."""
    if place is None:
        return None
    parts = (part.isoformat() if isinstance(part, datetime) else str(part) for part in place)
    return base64.urlsafe_b64encode(" ".join(parts).encode()).decode()


def _decode(cursor: str | None, parse: Callable[..., _Place]) -> _Place | None:
    """Return the position that ``parse`` makes of the parts of a cursor. Return None for None.

    Raises:
        ValidationFailed: this list returned no such cursor.

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
    """Return the cursor of a position in the audit log. Return None for None.

    A row that an attacker inserted may have any value as time, chain or sequence. The cursor of such a row begins with
    a mark, and names the type of each value. Long values are truncated, and the next page begins after all rows with
    the same beginning.
    """
    if place is None:
        return None
    time, chain_id, sequence = place
    if isinstance(chain_id, str) and _HEXADECIMAL_UUID.fullmatch(chain_id):
        chain_id = UUID(chain_id)  # SQLite stores a UUID as text.
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
        return f"t{part.encode()[:_MAX_PART_BYTES].decode(errors='ignore').encode().hex()}"
    return f"b{bytes(part)[:_MAX_PART_BYTES].hex()}"


def _decode_part(part: str) -> Any:
    text = part[1:]
    if part.startswith("u"):
        return UUID(text)
    if part.startswith("i"):
        return _require_bigint(int(text))
    if part.startswith("f"):
        return float.fromhex(text)
    if part.startswith("t"):
        return bytes.fromhex(text).decode()
    if part.startswith("b"):
        return bytes.fromhex(text)
    raise ValueError(part)


def _require_bigint(number: int) -> int:
    """Return ``number`` if it fits into a database column of 64 bits.

    Raises:
        ValueError: it does not fit.

    """
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
    """Return ``text`` as a number that is not negative and has at most ``bits`` bits.

    Raises:
        ValueError: it is not such a number.

    """
    number = int(text)
    if number >= 1 << bits or number < 0:
        raise ValueError(text)
    return number


#: Parameters of an endpoint: where the previous page of sessions or of audit records ended.
SessionCursor = Annotated[tuple[datetime, UUID] | None, Depends(_decode_session_cursor)]
AuditCursor = Annotated[AuditPlace | None, Depends(_decode_audit_cursor)]

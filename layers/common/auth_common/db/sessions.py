"""The tables of sessions and refresh tokens."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from auth_common.db.tables import refresh_tokens, sessions, users
from auth_common.db.users import USER_COLUMNS, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. ``revoked_at`` and ``expires_at`` (absolute) end it."""

    id: UUID
    user_id: UUID
    #: RFC 8176 values, space-separated.
    amr: str
    auth_time: datetime
    source_ip: str
    user_agent: str
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token's record; the token itself is nowhere stored."""

    token_hash: bytes
    session_id: UUID
    generation: int
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database says of a caller at this moment, whatever their token said when it was signed."""

    role: str
    status: str
    token_version: int
    session_expires_at: datetime
    session_revoked_at: datetime | None


_caller: Final = users.alias("caller")
_target: Final = users.alias("target")

#: The caller's standing and the user that they ask for, in one statement: one round trip, one moment in time.
_SELECT_STANDING_AND_USER: Final = (
    select(
        _caller.c.role,
        _caller.c.status,
        _caller.c.token_version,
        sessions.c.expires_at,
        sessions.c.revoked_at,
        *(_target.c[column.name] for column in USER_COLUMNS),
    )
    .select_from(
        sessions.join(_caller, _caller.c.id == sessions.c.user_id).outerjoin(
            _target, _target.c.id == bindparam("target_id")
        )
    )
    .where(sessions.c.id == bindparam("session_id"), sessions.c.user_id == bindparam("user_id"))
)
_STANDING_FIELDS: Final = tuple(Standing.__dataclass_fields__)


def insert_session(connection: Connection, session: Session, first_token: RefreshToken) -> None:
    """Store a login and the first refresh token of its family."""
    connection.execute(sessions.insert().values(**asdict(session)))
    connection.execute(refresh_tokens.insert().values(**asdict(first_token)))


def select_standing_and_user(
    connection: Connection, *, session_id: UUID, user_id: UUID, target_id: UUID | None
) -> tuple[Standing | None, User | None]:
    """Return the standing of the caller (``None``: no such session of theirs) and the user ``target_id``."""
    row = connection.execute(
        _SELECT_STANDING_AND_USER, {"session_id": session_id, "user_id": user_id, "target_id": target_id}
    ).one_or_none()
    if row is None:
        return None, None
    standing = Standing(**dict(zip(_STANDING_FIELDS, row, strict=False)))
    columns = row[len(_STANDING_FIELDS) :]
    user = User(**dict(zip(User.__dataclass_fields__, columns, strict=True))) if columns[0] is not None else None
    return standing, user

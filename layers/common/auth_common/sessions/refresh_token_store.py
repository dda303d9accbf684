"""The table of refresh tokens: each session has one family, ordered by generation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select, update

from auth_common.audit_log.salt_store import bring_salt, salt_of
from auth_common.database.pipeline import write_later
from auth_common.database.tables import as_row, refresh_tokens, sessions, users
from auth_common.sessions.store import SESSION_COLUMNS, Session
from auth_common.users.store import USER_COLUMNS, User


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """The row of a refresh token, which has the hash of the token instead of the token."""

    token_hash: bytes
    session_id: UUID
    #: 0 for the token of the login. Each exchange adds 1.
    generation: int
    issued_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None
    #: The token for which it was exchanged, sealed by ``refresh_tokens.seal_successor``.
    successor: bytes | None = None


_TOKEN_FIELDS: Final = tuple(RefreshToken.__dataclass_fields__)
_SELECT_FAMILY: Final = (
    select(*(refresh_tokens.c[name] for name in _TOKEN_FIELDS), *SESSION_COLUMNS, *USER_COLUMNS, salt_of(users.c.id))
    .select_from(refresh_tokens.join(sessions).join(users))
    .where(refresh_tokens.c.token_hash == bindparam("token_hash"))
)
_INSERT: Final = refresh_tokens.insert()
_SPEND: Final = (
    update(refresh_tokens)
    .where(refresh_tokens.c.token_hash == bindparam("hash"), refresh_tokens.c.spent_at.is_(None))
    .values(spent_at=bindparam("now"), successor=bindparam("sealed"))
)


def insert_refresh_token(connection: Connection, token: RefreshToken) -> None:
    """Store the row of a token."""
    write_later(connection, _INSERT, as_row(token))


def select_family(connection: Connection, *, token_hash: bytes) -> tuple[RefreshToken, Session, User] | None:
    """Return the row of a token with its session and user. Return None if no token has this hash."""
    row = connection.execute(_SELECT_FAMILY, {"token_hash": token_hash}).one_or_none()
    if row is None:
        bring_salt(connection, user_id=None, stored=None)
        return None
    columns = iter(row)
    token = RefreshToken(**{name: next(columns) for name in _TOKEN_FIELDS})
    session = Session(**{name: next(columns) for name in Session.__dataclass_fields__})
    user = User(**{name: next(columns) for name in User.__dataclass_fields__})
    bring_salt(connection, user_id=user.id, stored=next(columns))
    return token, session, user


def spend_refresh_token(connection: Connection, *, token_hash: bytes, now: datetime, sealed_successor: bytes) -> None:
    """Mark a token as spent, and store its sealed successor. Change nothing if another request has spent it first.

    ``sessions.store.advance_session`` returns which of the two has happened.
    """
    write_later(connection, _SPEND, {"hash": token_hash, "now": now, "sealed": sealed_successor})


def delete_expired_refresh_tokens(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` tokens that expired before ``expired_before``. Return how many."""
    expired = select(refresh_tokens.c.token_hash).where(refresh_tokens.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(refresh_tokens).where(refresh_tokens.c.token_hash.in_(expired))).rowcount

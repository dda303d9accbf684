"""The users table: plain functions over a connection, rows as frozen dataclasses."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, exists, select, update
from sqlalchemy.exc import IntegrityError

from auth_common.database.tables import as_row, challenges, passkeys, refresh_tokens, sessions, users
from auth_common.errors import EmailTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as others may see them: no password hash."""

    id: UUID
    email: str
    name: str
    date_of_birth: date
    job_title: str
    #: ``user``, ``security`` or ``admin``.
    role: str
    #: ``active`` or ``disabled``.
    status: str
    token_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user logs in with."""

    user: User
    password_hash: str
    has_passkey: bool


#: The columns of ``User``, in its order.
USER_COLUMNS: Final = tuple(users.c[name] for name in User.__dataclass_fields__)

_CREDENTIALS: Final = select(*USER_COLUMNS, users.c.password_hash, exists().where(passkeys.c.user_id == users.c.id))
_CREDENTIALS_BY_EMAIL: Final = _CREDENTIALS.where(users.c.email == bindparam("email"))
_CREDENTIALS_BY_ID: Final = _CREDENTIALS.where(users.c.id == bindparam("user_id"))
_SELECT_USER: Final = select(*USER_COLUMNS).where(users.c.id == bindparam("user_id"))
_LOCK_USER: Final = _SELECT_USER.with_for_update()
_INSERT: Final = users.insert()


def insert_user(connection: Connection, user: User, *, password_hash: str, registered_from: bytes) -> None:
    """Store a new user.

    The unique constraint decides, not a look beforehand: of two registrations at once exactly one gets the address.

    Args:
        connection: to write with.
        user: the user.
        password_hash: bcrypt's.
        registered_from: keyed hash of the client IP, 16 bytes.

    Raises:
        EmailTaken: the address has an account.

    """
    try:
        connection.execute(
            _INSERT, {**as_row(user), "password_hash": password_hash, "registered_from": registered_from}
        )
    except IntegrityError as error:
        # The id is 122 random bits: the only constraint that input can violate is the one on the address.
        raise EmailTaken from error


def select_credentials(connection: Connection, *, email: str) -> Credentials | None:
    """Return what the user with this normalised address logs in with, or ``None``."""
    return _credentials(connection, _CREDENTIALS_BY_EMAIL, email=email)


def select_credentials_of(connection: Connection, *, user_id: UUID) -> Credentials | None:
    """Return what the user with this id logs in with, or ``None``."""
    return _credentials(connection, _CREDENTIALS_BY_ID, user_id=user_id)


def select_user(connection: Connection, *, user_id: UUID) -> User | None:
    """Return a user, or ``None``."""
    row = connection.execute(_SELECT_USER, {"user_id": user_id}).mappings().one_or_none()
    return User(**row) if row else None


def has_passkey(connection: Connection, *, user_id: UUID) -> bool:
    """Return whether a user has a passkey."""
    found = select(passkeys.c.id).where(passkeys.c.user_id == user_id).limit(1)
    return connection.execute(found).one_or_none() is not None


def lock_user(connection: Connection, *, user_id: UUID) -> User | None:
    """Return a user, or ``None``, and let others who call this wait for the end of this transaction.

    SQLite has no row locks and needs none: its transactions run one after the other.
    """
    row = connection.execute(_LOCK_USER, {"user_id": user_id}).mappings().one_or_none()
    return User(**row) if row else None


def update_password_hash(connection: Connection, *, user_id: UUID, expected: str, new: str) -> None:
    """Replace the hash ``expected`` by ``new``; nothing happens where it has changed in the meantime."""
    connection.execute(
        update(users).where(users.c.id == user_id, users.c.password_hash == expected).values(password_hash=new)
    )


def change_password(connection: Connection, *, user_id: UUID, expected: str, new: str) -> int | None:
    """Replace the hash ``expected`` by ``new``, raise the token version and return it; ``None``: it has changed."""
    changed = (
        update(users)
        .where(users.c.id == user_id, users.c.password_hash == expected)
        .values(password_hash=new, token_version=users.c.token_version + 1)
        .returning(users.c.token_version)
    )
    row = connection.execute(changed).one_or_none()
    return row.token_version if row else None


def update_account(connection: Connection, *, email: str, **values: str) -> User | None:
    """Set ``role`` or ``status``, raise the token version in any case, and return the user; ``None``: no such user."""
    changed = (
        update(users)
        .where(users.c.email == email)
        .values(token_version=users.c.token_version + 1, **values)
        .returning(*USER_COLUMNS)
    )
    row = connection.execute(changed).mappings().one_or_none()
    return User(**row) if row else None


def delete_some_refresh_tokens(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` refresh tokens of a user; return how many."""
    theirs = (
        select(refresh_tokens.c.token_hash)
        .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        .where(sessions.c.user_id == user_id)
        .limit(limit)
    )
    return connection.execute(delete(refresh_tokens).where(refresh_tokens.c.token_hash.in_(theirs))).rowcount


def delete_some_sessions(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` sessions of a user that have no refresh tokens any more. Return how many."""
    has_tokens = exists().where(refresh_tokens.c.session_id == sessions.c.id)
    theirs = select(sessions.c.id).where(sessions.c.user_id == user_id, ~has_tokens).limit(limit)
    return connection.execute(delete(sessions).where(sessions.c.id.in_(theirs))).rowcount


def delete_some_challenges(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` challenges of a user. Return how many."""
    theirs = select(challenges.c.id).where(challenges.c.user_id == user_id).limit(limit)
    return connection.execute(delete(challenges).where(challenges.c.id.in_(theirs))).rowcount


def delete_user(connection: Connection, *, user_id: UUID) -> None:
    """Delete a user with few sessions and challenges and without refresh tokens, and all that belongs to the user."""
    for table in (challenges, passkeys, sessions):
        connection.execute(delete(table).where(table.c.user_id == user_id))
    connection.execute(delete(users).where(users.c.id == user_id))


def _credentials(connection: Connection, statement: Select[Any], **whose: str | UUID) -> Credentials | None:
    row = connection.execute(statement, whose).one_or_none()
    if row is None:
        return None
    *columns, password_hash, has_passkey = row
    return Credentials(User(**dict(zip(User.__dataclass_fields__, columns, strict=True))), password_hash, has_passkey)

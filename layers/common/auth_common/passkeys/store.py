"""Statements on the table of passkeys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, delete, literal, literal_column, or_, select, update
from sqlalchemy.exc import IntegrityError

from auth_common.audit_log.salt_store import bring_salt, salt_of
from auth_common.database.tables import TRANSPORTS_LENGTH, as_row, challenges, encode_words, passkeys, sessions, users
from auth_common.errors import PasskeyRejected
from auth_common.sessions.store import (
    CALLER_STATE_FIELDS,
    SELECT_CALLER_STATE,
    SELECT_CALLER_STATE_AND_PASSWORD_HASH,
    CallerState,
    as_caller_state,
)
from auth_common.users.store import USER_COLUMNS, User, user_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    """A stored passkey: a credential record of WebAuthn (section 4)."""

    id: UUID
    user_id: UUID
    credential_id: bytes
    #: A COSE_Key (RFC 9052).
    public_key: bytes
    sign_count: int
    #: Hints from the client, unverified.
    transports: tuple[str, ...]
    aaguid: UUID
    #: Whether the passkey may log in without the password (WebAuthn section 4, uvInitialized).
    uv_initialized: bool
    backup_eligible: bool
    backed_up: bool
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwnedPasskey:
    """A stored passkey and its user."""

    passkey: Passkey
    user: User


@dataclass(frozen=True, slots=True)
class LoginRecords:
    """What the database has about a response to the challenge of a login."""

    #: The passkey that the response names. None if it is unknown.
    named: OwnedPasskey | None = None
    #: The token version of the challenge's user. None if the challenge has no user, or the user was erased.
    token_version: int | None = None
    #: Whether there was a response to the challenge before.
    is_challenge_used: bool = False


@dataclass(frozen=True, slots=True)
class StepUpRecords:
    """What the database has about a proof of identity in a session."""

    state: CallerState
    password_hash: str
    #: The passkey that the proof names, which may be another user's. None if it names none, or an unknown one.
    named: OwnedPasskey | None


_FIELDS: Final = tuple(Passkey.__dataclass_fields__)
_COLUMNS: Final = tuple(passkeys.c[name] for name in _FIELDS)
_NEWEST_FIRST: Final = (passkeys.c.created_at.desc(), passkeys.c.id)
_SELECT_STEP_UP_RECORDS: Final = (
    SELECT_CALLER_STATE_AND_PASSWORD_HASH.add_columns(*_COLUMNS, *USER_COLUMNS)
    .outerjoin_from(sessions, passkeys, passkeys.c.credential_id == bindparam("credential_id"))
    .outerjoin(users, users.c.id == passkeys.c.user_id)
)
_challenge_user: Final = users.alias("challenge_user")
#: One row in each case, so that an unknown passkey takes the same number of round trips as a known one.
_SELECT_LOGIN_RECORDS: Final = select(
    _challenge_user.c.token_version, challenges.c.id, *_COLUMNS, *USER_COLUMNS
).select_from(
    select(literal_column("1"))
    .subquery()
    .outerjoin(_challenge_user, _challenge_user.c.id == bindparam("user_id"))
    .outerjoin(challenges, challenges.c.id == bindparam("challenge_id"))
    .outerjoin(passkeys, passkeys.c.credential_id == bindparam("credential_id"))
    .outerjoin(users, users.c.id == passkeys.c.user_id)
)
_SELECT_USER_AND_PASSKEYS: Final = (
    select(*USER_COLUMNS, *_COLUMNS)
    .select_from(users.outerjoin(passkeys))
    .where(users.c.id == bindparam("user_id"))
    .order_by(*_NEWEST_FIRST)
)
_SELECT_ALL_OF: Final = select(*_COLUMNS).where(passkeys.c.user_id == bindparam("user_id")).order_by(*_NEWEST_FIRST)
_SELECT_CALLER_STATE_AND_PASSKEYS: Final = (
    SELECT_CALLER_STATE.add_columns(*_COLUMNS, salt_of(sessions.c.user_id))
    .outerjoin_from(sessions, passkeys, passkeys.c.user_id == sessions.c.user_id)
    .order_by(*_NEWEST_FIRST)
)


def storable_transports(transports: Iterable[str]) -> tuple[str, ...]:
    """Return the transports that fit into the column, sorted. Transports at the end of ``transports`` are left out."""
    storable: list[str] = []
    for transport in transports:
        if transport and len(encode_words([*storable, transport])) <= TRANSPORTS_LENGTH:
            storable.append(transport)
    return tuple(sorted(storable))


def insert_passkey(connection: Connection, passkey: Passkey) -> None:
    """Store a passkey.

    Raises:
        PasskeyRejected: this or another user has registered the credential already.

    """
    try:
        connection.execute(passkeys.insert(), as_row(passkey))
    except IntegrityError as error:
        raise PasskeyRejected from error


def select_passkeys_of(connection: Connection, *, user_id: UUID) -> list[Passkey]:
    """Return a user's passkeys, newest first."""
    return [Passkey(**row) for row in connection.execute(_SELECT_ALL_OF, {"user_id": user_id}).mappings()]


def select_user_and_passkeys(connection: Connection, *, user_id: UUID) -> tuple[User | None, list[Passkey]]:
    """Return a user and their passkeys, newest first. Return None instead of the user if there is none."""
    rows = connection.execute(_SELECT_USER_AND_PASSKEYS, {"user_id": user_id}).all()
    if not rows:
        return None, []
    return user_of(rows[0][: len(USER_COLUMNS)]), _joined_passkeys(rows, after=len(USER_COLUMNS))


def select_caller_state_and_passkeys(
    connection: Connection, *, session_id: UUID, user_id: UUID
) -> tuple[CallerState | None, list[Passkey]]:
    """Return a caller's session and account, and the caller's passkeys, newest first.

    Return None instead of the first if the user has no such session.
    """
    parameters = {"session_id": session_id, "user_id": user_id}
    rows = connection.execute(_SELECT_CALLER_STATE_AND_PASSKEYS, parameters).all()
    if not rows:
        return None, []
    bring_salt(connection, user_id=user_id, stored=rows[0].salt)
    return as_caller_state(rows[0]), _joined_passkeys(rows, after=len(CALLER_STATE_FIELDS))


def select_step_up_records(
    connection: Connection, *, session_id: UUID, user_id: UUID, credential_id: bytes | None
) -> StepUpRecords | None:
    """Return what the database has about a proof of identity. Return None if the user has no such session.

    Args:
        connection: to read with.
        session_id: the caller's session.
        user_id: the caller.
        credential_id: of the passkey that the proof names. None if it names none.

    """
    parameters = {"session_id": session_id, "user_id": user_id, "credential_id": credential_id}
    row = connection.execute(_SELECT_STEP_UP_RECORDS, parameters).one_or_none()
    if row is None:
        return None
    password_hash, *columns = row[len(CALLER_STATE_FIELDS) :]
    return StepUpRecords(as_caller_state(row), password_hash, _owned_passkey(columns) if columns[0] else None)


def select_login_records(
    connection: Connection, *, credential_id: bytes | None, challenge_id: UUID, user_id: UUID | None
) -> LoginRecords:
    """Return what the database has about a response to the challenge of a login.

    Args:
        connection: to read with.
        credential_id: of the passkey that the response names. None if it names none.
        challenge_id: the id of the challenge.
        user_id: the user of the challenge. None for a login with a passkey alone.

    """
    parameters = {"credential_id": credential_id, "challenge_id": challenge_id, "user_id": user_id}
    token_version, used, *columns = connection.execute(_SELECT_LOGIN_RECORDS, parameters).one()
    named = _owned_passkey(columns) if columns[0] is not None else None
    return LoginRecords(named, token_version, is_challenge_used=used is not None)


def select_passkey(connection: Connection, *, passkey_id: UUID) -> Passkey | None:
    """Return the passkey with this id. Return None if there is none."""
    row = connection.execute(select(*_COLUMNS).where(passkeys.c.id == passkey_id)).mappings().one_or_none()
    return Passkey(**row) if row else None


def record_use(
    connection: Connection,
    *,
    passkey_id: UUID,
    user_id: UUID,
    sign_count: int,
    uv_initialized: bool,
    backup_eligible: bool,
    backed_up: bool,
    now: datetime,
    if_consistent: bool,
) -> bool:
    """Store the counter and the flags of an assertion, and ``now`` as the time of the passkey's last use.

    Return False if the passkey does not exist. If ``if_consistent`` is set, also return False if the counter did not
    advance or the backup eligibility changed. The UPDATE compares the values, so the second of two concurrent responses
    with one counter is inconsistent. A counter that stays 0 is consistent, because such an authenticator does not count
    (WebAuthn section 6.1.1). The statement also brings the salt of the passkey's user ``user_id``.
    """
    used = update(passkeys).where(passkeys.c.id == passkey_id)
    if if_consistent:
        advances = or_(
            passkeys.c.sign_count < sign_count, and_(passkeys.c.sign_count == 0, passkeys.c.sign_count == sign_count)
        )
        used = used.where(advances, passkeys.c.backup_eligible == backup_eligible)
    values = {
        "sign_count": sign_count,
        "uv_initialized": uv_initialized,
        "backup_eligible": backup_eligible,
        "backed_up": backed_up,
        "last_used_at": now,
    }
    # The user as a value, because SQLAlchemy names no tables in RETURNING for SQLite: both have a column ``user_id``.
    salt = salt_of(literal(user_id, passkeys.c.user_id.type))
    row = connection.execute(used.values(**values).returning(salt)).one_or_none()
    if row is None:
        return False
    bring_salt(connection, user_id=user_id, stored=row.salt)
    return True


def rename_passkey(connection: Connection, *, passkey_id: UUID, user_id: UUID, name: str) -> bool:
    """Rename a user's passkey. Return False if the user has no such passkey."""
    renamed = update(passkeys).where(passkeys.c.id == passkey_id, passkeys.c.user_id == user_id).values(name=name)
    return connection.execute(renamed).rowcount == 1


def delete_passkeys(
    connection: Connection, *, user_id: UUID, only: UUID | None = None, since: datetime | None = None
) -> int:
    """Delete passkeys of a user, and return how many were deleted.

    Args:
        connection: a connection in a transaction.
        user_id: the user.
        only: the id of one passkey. If it is None, all of the user's passkeys are deleted.
        since: only passkeys that were added at this time or later.

    """
    statement = delete(passkeys).where(passkeys.c.user_id == user_id)
    if only is not None:
        statement = statement.where(passkeys.c.id == only)
    if since is not None:
        statement = statement.where(passkeys.c.created_at >= since)
    return connection.execute(statement).rowcount


def _joined_passkeys(rows: Sequence[Sequence[Any]], *, after: int) -> list[Passkey]:
    """Return the passkeys in the columns from ``after`` on. A user without a passkey has one row, without values."""
    found = [row[after:] for row in rows]
    return [Passkey(**dict(zip(_FIELDS, columns, strict=False))) for columns in found if columns[0] is not None]


def _owned_passkey(columns: Sequence[Any]) -> OwnedPasskey:
    passkey = Passkey(**dict(zip(_FIELDS, columns, strict=False)))
    return OwnedPasskey(passkey, user_of(columns[len(_FIELDS) :]))

"""The table of users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, and_, bindparam, case, delete, exists, func, select, text, update
from sqlalchemy.exc import IntegrityError

from auth_common.audit_log.salt_store import bring_salt, salt_of
from auth_common.database.pipeline import execute_with_next, lock_with_next, write_later
from auth_common.database.tables import as_row, challenges, mails, passkeys, refresh_tokens, sessions, users
from auth_common.errors import EmailTaken
from auth_common.users.email_change_store import RESERVED, is_unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user, without the password hash."""

    id: UUID
    email: str
    name: str
    date_of_birth: date
    job_title: str
    #: ``user``, ``security`` or ``admin``.
    role: str
    #: ``active``, ``disabled``, or ``unverified``: no login is accepted before the address is verified.
    status: str
    token_version: int
    created_at: datetime
    #: When the user proved that the address is theirs. None means never.
    email_verified_at: datetime | None = None
    #: The language of mails, such as ``de``. None means the default language.
    locale: str | None = None
    #: When the clean-up deletes the account. None after the first login or the verification, and in old accounts.
    unused_until: datetime | None = None

    @property
    def email_verified(self) -> bool:
        """Whether the user has proved that the address is theirs."""
        return self.email_verified_at is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with the password hash, and whether they have a passkey."""

    user: User
    password_hash: str
    has_passkey: bool


@dataclass(frozen=True, slots=True)
class LockedUser:
    """A user whose row is locked, and whether they have a passkey. Passkeys change only under the same lock."""

    user: User
    has_passkey: bool


@dataclass(frozen=True, slots=True)
class TakenAddress:
    """An address that a new user cannot have."""

    #: The user who has the address. None if an account has the address reserved.
    holder: User | None


#: The columns of ``User``, in the order of its fields.
USER_COLUMNS: Final = tuple(users.c[name] for name in User.__dataclass_fields__)

_HAS_PASSKEY: Final = exists().where(passkeys.c.user_id == users.c.id)
#: What ``credentials_of`` needs.
CREDENTIALS_COLUMNS: Final = (*USER_COLUMNS, users.c.password_hash, _HAS_PASSKEY)

_CREDENTIALS: Final = select(*CREDENTIALS_COLUMNS)
_CREDENTIALS_BY_EMAIL: Final = _CREDENTIALS.where(users.c.email == bindparam("email"))
_CREDENTIALS_BY_ID: Final = _CREDENTIALS.where(users.c.id == bindparam("user_id"))
_SELECT_USER: Final = select(*USER_COLUMNS).where(users.c.id == bindparam("user_id"))
_SELECT_USER_BY_EMAIL: Final = select(*USER_COLUMNS, salt_of(users.c.id)).where(users.c.email == bindparam("email"))
#: Aurora DSQL locks only rows of one table that are selected by the primary key.
_LOCK: Final = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
_LOCK_USER: Final = _SELECT_USER.with_for_update()
_SELECT_LOCKED: Final = select(*USER_COLUMNS, _HAS_PASSKEY, salt_of(users.c.id)).where(
    users.c.id == bindparam("user_id")
)
#: As text, which is the same for all databases. SQLAlchemy has a different INSERT ... ON CONFLICT for each of them. The
#: update changes nothing, and locks the account that has the address.
_INSERT: Final = text(
    """
    INSERT INTO users (
        id, email, name, date_of_birth, job_title, password_hash, role, status, token_version, created_at,
        registered_from, email_verified_at, locale, unused_until
    )
    SELECT :id, :email, :name, :date_of_birth, :job_title, :password_hash, :role, :status, :token_version, :created_at,
        :registered_from, :email_verified_at, :locale, :unused_until
    WHERE NOT EXISTS (
        SELECT 1 FROM email_changes WHERE old_email = :email AND reserved_until > :created_at AND user_id != :id
    )
    ON CONFLICT (email) DO UPDATE SET email = users.email
    """
).bindparams(
    *(
        bindparam(name, type_=users.c[name].type)
        for name in (*User.__dataclass_fields__, "password_hash", "registered_from")
    )
)
_DELETE: Final = delete(users).where(users.c.id == bindparam("user_id"))
_SELECT_HOLDER: Final = _SELECT_USER_BY_EMAIL.add_columns(RESERVED.exists().label("is_reserved"))


def insert_user(
    connection: Connection, user: User, *, password_hash: str, registered_from: bytes
) -> TakenAddress | None:
    """Store a new user. If the address is taken, store nothing, lock the user who has it, and return them.

    The unique constraint decides, so of two concurrent registrations exactly one gets the address.

    Args:
        connection: to write with.
        user: the user.
        password_hash: the bcrypt hash.
        registered_from: keyed hash of the client IP, 16 bytes.

    """
    row = {**as_row(user), "password_hash": password_hash, "registered_from": registered_from}
    execute_with_next(connection, _INSERT, row)
    parameters = {"email": user.email, "user_id": user.id, "now": user.created_at}
    found = connection.execute(_SELECT_HOLDER, parameters).all()
    others = [row for row in found if row.id != user.id]
    is_stored = len(others) < len(found)
    if is_stored and not others and not found[0].is_reserved:
        return None
    if is_stored:
        # The insert has waited until a concurrent change had released the address. On READ COMMITTED, the query sees
        # the reservation. In an older snapshot it still sees the account with the address.
        write_later(connection, _DELETE, {"user_id": user.id})
    if is_stored or not others:
        bring_salt(connection, user_id=None, stored=None)
        return TakenAddress(None)
    *columns, salt, _ = others[0]
    holder = user_of(columns)
    bring_salt(connection, user_id=holder.id, stored=salt)
    return TakenAddress(holder)


def user_of(columns: Sequence[Any]) -> User:
    """Return the user in the values of ``USER_COLUMNS``."""
    return User(**dict(zip(User.__dataclass_fields__, columns, strict=True)))


def credentials_of(row: Sequence[Any]) -> Credentials:
    """Return the credentials in a row of ``CREDENTIALS_COLUMNS``."""
    *columns, password_hash, has_passkey = row
    return Credentials(user_of(columns), password_hash, has_passkey)


def select_credentials_by_email(connection: Connection, *, email: str) -> Credentials | None:
    """Return the credentials of the user with this normalised e-mail address. Return None if there is none."""
    return _credentials(connection, _CREDENTIALS_BY_EMAIL, email=email)


def select_credentials_by_id(connection: Connection, *, user_id: UUID) -> Credentials | None:
    """Return the credentials of the user with this id. Return None if there is none."""
    return _credentials(connection, _CREDENTIALS_BY_ID, user_id=user_id)


def select_user(connection: Connection, *, user_id: UUID) -> User | None:
    """Return a user. Return None if there is none."""
    row = connection.execute(_SELECT_USER, {"user_id": user_id}).mappings().one_or_none()
    return User(**row) if row else None


def select_user_by_email(connection: Connection, *, email: str) -> User | None:
    """Return the user with this normalised e-mail address. Return None if there is none."""
    row = connection.execute(_SELECT_USER_BY_EMAIL, {"email": email}).one_or_none()
    *columns, salt = row or (None,)
    user = user_of(columns) if row else None
    bring_salt(connection, user_id=user.id if user else None, stored=salt)
    return user


def has_passkey(connection: Connection, *, user_id: UUID) -> bool:
    """Return whether a user has a passkey."""
    found = select(passkeys.c.id).where(passkeys.c.user_id == user_id).limit(1)
    return connection.execute(found).one_or_none() is not None


def lock_user(connection: Connection, *, user_id: UUID) -> User | None:
    """Lock a user's row until this transaction ends, and return the user. Return None if there is none.

    Other transactions that lock the same user wait. SQLite needs no row locks, because its transactions that write run
    one after the other. The salt for audit records is not read: PostgreSQL evaluates the subqueries of a locking
    statement as of the moment before it waited for the lock.
    """
    row = connection.execute(_LOCK_USER, {"user_id": user_id}).mappings().one_or_none()
    return User(**row) if row else None


def lock_user_and_passkeys(connection: Connection, *, user_id: UUID) -> LockedUser | None:
    """Lock a user's row as ``lock_user`` does, and return the user. Return None if there is none."""
    lock_with_next(connection, _LOCK, {"user_id": user_id})
    # A statement of its own, whose subqueries PostgreSQL evaluates after it has waited for the lock.
    row = connection.execute(_SELECT_LOCKED, {"user_id": user_id}).one_or_none()
    if row is None:
        bring_salt(connection, user_id=None, stored=None)
        return None
    *columns, has_passkey, salt = row
    user = user_of(columns)
    bring_salt(connection, user_id=user.id, stored=salt)
    return LockedUser(user, has_passkey)


def update_password_hash(connection: Connection, *, user_id: UUID, expected: str, new: str) -> None:
    """Replace the password hash ``expected`` by ``new``. Change nothing if the stored hash is another one."""
    connection.execute(
        update(users).where(users.c.id == user_id, users.c.password_hash == expected).values(password_hash=new)
    )


def change_password(connection: Connection, *, user_id: UUID, expected: str, new: str) -> int | None:
    """Replace the password hash ``expected`` by ``new``, and raise the token version.

    Return the new token version. Return None, and change nothing, if the stored hash is another one.
    """
    changed = (
        update(users)
        .where(users.c.id == user_id, users.c.password_hash == expected)
        .values(password_hash=new, token_version=users.c.token_version + 1)
        .returning(users.c.token_version)
    )
    row = connection.execute(changed).one_or_none()
    return row.token_version if row else None


def replace_password_hash(connection: Connection, *, user_id: UUID, new: str) -> None:
    """Replace the password hash whatever it is, and raise the token version."""
    values = {"password_hash": new, "token_version": users.c.token_version + 1}
    connection.execute(update(users).where(users.c.id == user_id).values(values))


def reset_password(connection: Connection, *, user_id: UUID, new: str, known_ip: bytes, now: datetime) -> None:
    """Replace the password hash, raise the token version, and make a client IP the only one that is known.

    Args:
        connection: to write with.
        user_id: the user.
        new: the bcrypt hash.
        known_ip: keyed hash of the client IP, 16 bytes.
        now: the time.

    """
    version = users.c.token_version + 1
    changed = update(users).where(users.c.id == user_id)
    changed = changed.values(password_hash=new, token_version=version, unused_until=None)
    connection.execute(changed.values(registered_from=known_ip, known_ip_since=now, known_ip_version=version))


def mark_verified(connection: Connection, *, user_id: UUID, now: datetime) -> str:
    """Store that a user's address is verified, and let the user log in. Return the new status.

    A disabled account stays disabled. Neither the token version nor a session changes.
    """
    status = case((users.c.status == "unverified", "active"), else_=users.c.status)
    values = {"email_verified_at": now, "status": status, "unused_until": None}
    marked = update(users).where(users.c.id == user_id).values(values).returning(users.c.status)
    new_status: str = connection.execute(marked).scalar_one()
    return new_status


def change_email(
    connection: Connection,
    *,
    user_id: UUID,
    email: str,
    verified_at: datetime | None,
    now: datetime,
    revokes_sessions: bool = False,
) -> User:
    """Change the address of a user, and return the user. As in ``insert_user``, of two concurrent changes one succeeds.

    Args:
        connection: to write with.
        user_id: the user.
        email: the new address, normalised.
        verified_at: when the user proved that the new address is theirs. None means never.
        now: the time.
        revokes_sessions: whether to raise the token version, which revokes all sessions.

    Raises:
        EmailTaken: another account has the address, or has it reserved.

    """
    version = users.c.token_version + int(revokes_sessions)
    changed = update(users).where(users.c.id == user_id).returning(*USER_COLUMNS)
    changed = changed.values(email=email, email_verified_at=verified_at, token_version=version)
    try:
        row = connection.execute(changed).mappings().one()
    except IntegrityError as error:
        raise EmailTaken from error
    if is_unavailable(connection, email=email, user_id=user_id, now=now):
        raise EmailTaken
    return User(**row)


def mark_used(connection: Connection, *, user_id: UUID) -> None:
    """Store that a user has logged in, so that the clean-up keeps the account."""
    write_later(connection, update(users).where(users.c.id == user_id).values(unused_until=None), {})


def delete_unused_users(connection: Connection, *, unused_before: datetime, limit: int) -> list[UUID]:
    """Delete up to ``limit`` accounts whose time for a first use ended before ``unused_before``. Return their ids.

    An account with a session or a passkey is left out, because after a rollback of a deployment a login does not clear
    the time. A disabled account is left out, because an operator has decided about it.
    """
    is_unused = and_(users.c.unused_until < unused_before, users.c.status != "disabled")
    has_row = [exists().where(table.c.user_id == users.c.id) for table in (sessions, passkeys)]
    unused = select(users.c.id).where(is_unused, *(~each for each in has_row)).limit(limit)
    # The condition is repeated, because the user may have logged in since the account was chosen.
    return list(connection.scalars(delete(users).where(users.c.id.in_(unused), is_unused).returning(users.c.id)))


def update_account(connection: Connection, *, email: str, **values: str) -> User | None:
    """Set columns of a user (``role`` or ``status``), and raise the token version, even if no column is given.

    The clean-up keeps an account that an operator has changed. Return the changed user. Return None if no user has this
    normalised e-mail address.
    """
    changed = (
        update(users)
        .where(users.c.email == email)
        .values(token_version=users.c.token_version + 1, unused_until=None, **values)
        .returning(*USER_COLUMNS)
    )
    row = connection.execute(changed).mappings().one_or_none()
    return User(**row) if row else None


def count_rows_of(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Return how many refresh tokens, sessions, challenges and mails a user has. Count up to ``limit`` of each."""
    of_user = [select(table.c.id).where(table.c.user_id == user_id) for table in (sessions, challenges, mails)]
    tokens = select(refresh_tokens.c.token_hash).join(sessions, sessions.c.id == refresh_tokens.c.session_id)
    rows = [tokens.where(sessions.c.user_id == user_id), *of_user]
    return sum(
        connection.execute(select(func.count()).select_from(each.limit(limit).subquery())).scalar_one() for each in rows
    )


def delete_some_refresh_tokens(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` refresh tokens of a user. Return how many."""
    chosen = (
        select(refresh_tokens.c.token_hash)
        .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        .where(sessions.c.user_id == user_id)
        .limit(limit)
    )
    return connection.execute(delete(refresh_tokens).where(refresh_tokens.c.token_hash.in_(chosen))).rowcount


def delete_some_sessions(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` sessions of a user that have no refresh tokens. Return how many."""
    has_tokens = exists().where(refresh_tokens.c.session_id == sessions.c.id)
    chosen = select(sessions.c.id).where(sessions.c.user_id == user_id, ~has_tokens).limit(limit)
    return connection.execute(delete(sessions).where(sessions.c.id.in_(chosen))).rowcount


def delete_some_challenges(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` challenges of a user. Return how many."""
    chosen = select(challenges.c.id).where(challenges.c.user_id == user_id).limit(limit)
    return connection.execute(delete(challenges).where(challenges.c.id.in_(chosen))).rowcount


def delete_user(connection: Connection, *, user_id: UUID) -> None:
    """Delete a user with all their challenges, mails, passkeys and sessions.

    Delete the refresh tokens and most other rows before, because a transaction on Aurora DSQL changes at most 3,000
    rows.
    """
    for table in (challenges, mails, passkeys, sessions):
        connection.execute(delete(table).where(table.c.user_id == user_id))
    connection.execute(_DELETE, {"user_id": user_id})


def _credentials(connection: Connection, statement: Select[Any], **parameter: str | UUID) -> Credentials | None:
    row = connection.execute(statement, parameter).one_or_none()
    return credentials_of(row) if row else None

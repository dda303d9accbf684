"""The salts of users: with the audit key, each makes the key of a user's personal fields and mails.

A record of a user needs the salt. A row of the user that its transaction reads anyway brings the salt (``salt_of`` and
``bring_salt``), so the record costs no further round trip. A transaction uses only what it has read itself, because an
erasure deletes the salt at any time.

An attacker who can insert rows can store any value that the database accepts, so a salt is read without conversion.
"""

import secrets
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, select, text, type_coerce

from auth_common.audit_log.protection import SALT_BYTES
from auth_common.database.pipeline import write_later
from auth_common.database.tables import AsStored, audit_salts, users

_NO_USER: Final = UUID(int=0)
_SALT: Final = type_coerce(audit_salts.c.salt, AsStored()).label("salt")
_SELECT: Final = select(_SALT).where(audit_salts.c.user_id == bindparam("user_id"))
#: The first writer makes the salt, and only if the account exists: no salt must be stored after an erasure. All
#: supported databases accept this statement, for which SQLAlchemy has a separate construct per database.
_INSERT_IF_USER_EXISTS: Final = text(
    "INSERT INTO audit_salts (user_id, salt) SELECT id, :salt FROM users WHERE id = :user_id ON CONFLICT DO NOTHING"
).bindparams(bindparam("user_id", type_=audit_salts.c.user_id.type), bindparam("salt", type_=audit_salts.c.salt.type))

_INSERT: Final = audit_salts.insert()

#: The salts that each running transaction has read, by its connection. Each try of a transaction has a new connection.
_brought: Final[WeakKeyDictionary[Connection, dict[UUID, bytes]]] = WeakKeyDictionary()


def salt_of(user_id: ColumnElement[UUID]) -> ColumnElement[Any]:
    """Return the column ``salt`` of a query: the salt of the user in the column ``user_id``, as it is stored."""
    return select(_SALT).where(audit_salts.c.user_id == user_id).scalar_subquery().label("salt")


def bring_salt(connection: Connection, *, user_id: UUID | None, stored: Any) -> None:
    """Remember a salt until the transaction ends, so that ``make_salt`` needs no query.

    Call it after each query with ``salt_of``, also if the query found no user. A request must cost the same number of
    round trips for an unknown e-mail address as for a known one.

    Args:
        connection: the transaction.
        user_id: the user. None if the query found none.
        stored: the column ``salt``. None if the user has no salt yet.

    """
    known = _brought.setdefault(connection, {})
    if user_id is not None and stored is not None:
        known[user_id] = _usable(stored)


def make_salt(connection: Connection, *, user_id: UUID | None) -> bytes | None:
    """Return the salt of a user, and make it if it does not exist. Return None if the user does not exist (any more).

    Without a ``user_id`` the query is sent too, unless the transaction has read a user. Otherwise a failed login would
    take fewer round trips for an unknown e-mail address.
    """
    known = _brought.get(connection)
    if known is None or (user_id is not None and user_id not in known):
        salt = _select(connection, user_id or _NO_USER)
        if salt is None and user_id is not None:
            write_later(
                connection, _INSERT_IF_USER_EXISTS, {"user_id": user_id, "salt": secrets.token_bytes(SALT_BYTES)}
            )
            salt = _select(connection, user_id)
        bring_salt(connection, user_id=user_id, stored=salt)
        known = _brought[connection]
    return known.get(user_id) if user_id else None


def store_first_salt(connection: Connection, *, user_id: UUID) -> None:
    """Make the salt of a user who was stored in the same transaction. The user's records then need no query."""
    salt = secrets.token_bytes(SALT_BYTES)
    write_later(connection, _INSERT, {"user_id": user_id, "salt": salt})
    bring_salt(connection, user_id=user_id, stored=salt)


def select_salts(connection: Connection, *, user_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Return the salts of these users. A user without a salt has no key in the result."""
    if not user_ids:
        return {}
    rows = connection.execute(select(audit_salts.c.user_id, _SALT).where(audit_salts.c.user_id.in_(user_ids)))
    return {row.user_id: _usable(row.salt) for row in rows}


def delete_salts(connection: Connection, *, user_ids: Collection[UUID]) -> int:
    """Erase the personal fields of the users' records by deleting the salts. The chains stay valid. Return how many."""
    _brought.pop(connection, None)
    return connection.execute(delete(audit_salts).where(audit_salts.c.user_id.in_(user_ids))).rowcount


def select_erased_users(connection: Connection, *, limit: int) -> list[UUID]:
    """Return up to ``limit`` users without an account whose records still have personal fields, by their salts.

    A request that runs at the same time as an erasure may store a salt. A deletion by the service leaves the salt.
    """
    is_erased = ~exists().where(users.c.id == audit_salts.c.user_id)
    return list(connection.scalars(select(audit_salts.c.user_id).where(is_erased).limit(limit)))


def _select(connection: Connection, user_id: UUID) -> Any:
    return connection.execute(_SELECT, {"user_id": user_id}).scalar_one_or_none()


def _usable(stored: Any) -> bytes:
    """Return a stored salt. Return an empty salt, which opens nothing, for a value that an attacker has inserted."""
    return stored if isinstance(stored, bytes) else b""

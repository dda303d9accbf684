"""The table of changed addresses. It reserves an old address, so that its user can undo the change."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, literal, select, union_all

from auth_common.database.tables import as_row, email_changes, users

#: How long an old address is reserved, and how long its user can undo the change.
EMAIL_RESERVED_FOR: Final = timedelta(hours=72)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChange:
    """A change of an account's address."""

    id: UUID
    user_id: UUID
    #: Normalised.
    old_email: str
    changed_at: datetime
    #: Until this time no other account can have the old address.
    reserved_until: datetime


_COLUMNS: Final = tuple(email_changes.c[name] for name in EmailChange.__dataclass_fields__)
_INSERT: Final = email_changes.insert()
#: Finds an address that is reserved for another account than ``user_id``.
RESERVED: Final = select(literal(1)).where(
    email_changes.c.old_email == bindparam("email"),
    email_changes.c.reserved_until > bindparam("now", type_=email_changes.c.reserved_until.type),
    email_changes.c.user_id != bindparam("user_id", type_=email_changes.c.user_id.type),
)
_SELECT_RESERVED: Final = RESERVED.limit(1)
_SELECT_UNAVAILABLE: Final = union_all(
    RESERVED,
    select(literal(1)).where(
        users.c.email == bindparam("email"), users.c.id != bindparam("user_id", type_=users.c.id.type)
    ),
).limit(1)


def insert_email_change(connection: Connection, change: EmailChange) -> None:
    """Store a change of an address."""
    connection.execute(_INSERT, as_row(change))


def is_reserved(connection: Connection, *, email: str, user_id: UUID, now: datetime) -> bool:
    """Return whether an address is reserved for another account than ``user_id``."""
    found = connection.execute(_SELECT_RESERVED, {"email": email, "user_id": user_id, "now": now})
    return found.first() is not None


def is_unavailable(connection: Connection, *, email: str, user_id: UUID, now: datetime) -> bool:
    """Return whether another account than ``user_id`` has an address, or has it reserved.

    Call it after the statement that gives the address to the account. That statement waits until a concurrent change
    has released the address. On READ COMMITTED this query then sees the reservation. In an older snapshot it still sees
    the address at its previous account.
    """
    found = connection.execute(_SELECT_UNAVAILABLE, {"email": email, "user_id": user_id, "now": now})
    return found.first() is not None


def select_reversible_changes(
    connection: Connection, *, user_id: UUID, since: datetime, now: datetime
) -> list[EmailChange]:
    """Return a user's changes at ``since`` or later whose old address is still reserved, the earliest first."""
    reversible = select(*_COLUMNS).where(
        email_changes.c.user_id == user_id, email_changes.c.changed_at >= since, email_changes.c.reserved_until > now
    )
    rows = connection.execute(reversible.order_by(email_changes.c.changed_at, email_changes.c.id)).mappings()
    return [EmailChange(**row) for row in rows]


def delete_email_changes_of(connection: Connection, *, user_id: UUID, since: datetime | None = None) -> None:
    """Delete a user's changes at ``since`` or later, or all of them. A limit on requests keeps them few."""
    statement = delete(email_changes).where(email_changes.c.user_id == user_id)
    if since is not None:
        statement = statement.where(email_changes.c.changed_at >= since)
    connection.execute(statement)


def delete_expired_email_changes(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` changes whose reservation ended before ``expired_before``. Return how many."""
    expired = select(email_changes.c.id).where(email_changes.c.reserved_until < expired_before).limit(limit)
    return connection.execute(delete(email_changes).where(email_changes.c.id.in_(expired))).rowcount

"""The table of suppressed addresses: those that bounce, and those whose users complained."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, text

from auth_common.database.tables import UtcDateTime, mail_suppressions
from auth_common.keys.keyed_hashes import keyed_hash

#: As text, which is the same for all databases. SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
_SUPPRESS: Final = text(
    """
    INSERT INTO mail_suppressions (address_hash, bounced_at, complained_at, expires_at)
    VALUES (:address_hash, :bounced_at, :complained_at, :expires_at)
    ON CONFLICT (address_hash) DO UPDATE SET
        bounced_at = COALESCE(excluded.bounced_at, mail_suppressions.bounced_at),
        complained_at = COALESCE(excluded.complained_at, mail_suppressions.complained_at),
        expires_at = excluded.expires_at
    """
).bindparams(
    bindparam("address_hash", type_=mail_suppressions.c.address_hash.type),
    *(bindparam(name, type_=UtcDateTime()) for name in ("bounced_at", "complained_at", "expires_at")),
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address gets less mail."""

    #: When a mail could not be delivered for good. Such an address gets no mail.
    bounced_at: datetime | None
    #: When the user reported a mail as spam. Such an address gets no notices of logins and lockouts.
    complained_at: datetime | None


def suppress_address(
    connection: Connection,
    *,
    email: str,
    expires_at: datetime,
    bounced_at: datetime | None = None,
    complained_at: datetime | None = None,
) -> None:
    """Store a bounce or a complaint, besides those that are stored already."""
    values = {"bounced_at": bounced_at, "complained_at": complained_at, "expires_at": expires_at}
    connection.execute(_SUPPRESS, {"address_hash": _index(email), **values})


def select_suppression(connection: Connection, *, email: str, now: datetime) -> Suppression | None:
    """Return why an address is suppressed. Return None if it is not, or no longer."""
    found = select(mail_suppressions.c.bounced_at, mail_suppressions.c.complained_at).where(
        mail_suppressions.c.address_hash == _index(email), mail_suppressions.c.expires_at > now
    )
    row = connection.execute(found).one_or_none()
    return Suppression(*row) if row else None


def count_bounced_addresses(connection: Connection, *, since: datetime) -> int:
    """Return the number of addresses whose latest permanent bounce was reported since a time."""
    bounced = select(func.count()).select_from(mail_suppressions).where(mail_suppressions.c.bounced_at > since)
    return connection.execute(bounced).scalar_one()


def delete_suppression(connection: Connection, *, email: str) -> bool:
    """Send all mail to an address again. Return False if it was not suppressed."""
    deleted = delete(mail_suppressions).where(mail_suppressions.c.address_hash == _index(email))
    return connection.execute(deleted).rowcount > 0


def delete_expired_suppressions(connection: Connection, now: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` expired rows. Return how many."""
    expired = select(mail_suppressions.c.address_hash).where(mail_suppressions.c.expires_at < now).limit(limit)
    return connection.execute(delete(mail_suppressions).where(mail_suppressions.c.address_hash.in_(expired))).rowcount


def _index(email: str) -> bytes:
    """Return a keyed hash, so that the table reveals no address. An address may have no account, or no longer one."""
    return keyed_hash(b"mail suppression", email.encode())[:16]

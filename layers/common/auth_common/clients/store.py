"""The tables of clients and of their used assertions."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select, text, update

from auth_common.database.tables import UtcDateTime, as_row, client_assertions, clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered service."""

    id: UUID
    #: The ``client_id``.
    name: str
    #: The audience of the tokens that the client accepts itself. None if it accepts none.
    audience: str | None
    #: The audiences and the scopes for which the client may request tokens.
    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    may_introspect: bool
    #: None for a client with a secret. Otherwise the algorithm of its assertions.
    algorithm: str | None
    #: The SHA-256 of the secret, or the public key in DER.
    credential: bytes = field(repr=False)
    #: The credential before the last rotation, which is still valid.
    old_credential: bytes | None = field(default=None, repr=False)
    created_at: datetime
    rotated_at: datetime | None = None

    @property
    def subject(self) -> str:
        """The ``sub`` of the client's tokens. The id of a user has another form."""
        return f"client:{self.name}"


_COLUMNS: Final = tuple(clients.c[name] for name in Client.__dataclass_fields__)
_SELECT: Final = select(*_COLUMNS).where(clients.c.name == bindparam("name"))
#: As text, which is the same for all databases. SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
_USE: Final = text(
    "INSERT INTO client_assertions (hash, expires_at) VALUES (:hash, :expires_at) "
    "ON CONFLICT (hash) DO NOTHING RETURNING hash"
).bindparams(bindparam("hash", type_=client_assertions.c.hash.type), bindparam("expires_at", type_=UtcDateTime()))


def insert_client(connection: Connection, client: Client) -> None:
    """Store a client.

    Raises:
        sqlalchemy.exc.IntegrityError: A client has this name.

    """
    connection.execute(clients.insert(), as_row(client))


def select_client(connection: Connection, *, name: str) -> Client | None:
    """Return the client with this name. Return None if there is none."""
    row = connection.execute(_SELECT, {"name": name}).mappings().one_or_none()
    return Client(**row) if row else None


def select_clients(connection: Connection) -> list[Client]:
    """Return all clients by name. Operators add few."""
    return [Client(**row) for row in connection.execute(select(*_COLUMNS).order_by(clients.c.name)).mappings()]


def replace_credentials(connection: Connection, before: Client, after: Client) -> bool:
    """Store the credentials of ``after``. Return False if another operator has changed those of ``before``."""
    unchanged = (
        clients.c.id == before.id,
        # No secrets: an attacker cannot choose these values.
        clients.c.credential == before.credential,
        clients.c.old_credential.is_not_distinct_from(before.old_credential),
    )
    changed = {name: getattr(after, name) for name in ("algorithm", "credential", "old_credential", "rotated_at")}
    return connection.execute(update(clients).where(*unchanged).values(**changed)).rowcount == 1


def delete_client(connection: Connection, *, client_id: UUID) -> None:
    """Delete a client, if it still exists."""
    connection.execute(delete(clients).where(clients.c.id == client_id))


def use_assertion(connection: Connection, *, assertion_hash: bytes, expires_at: datetime) -> bool:
    """Store an assertion as used. Return False if it was used before, for example by a concurrent request."""
    used = connection.execute(_USE, {"hash": assertion_hash, "expires_at": expires_at})
    return used.one_or_none() is not None


def delete_expired_assertions(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` used assertions that expired before ``expired_before``. Return how many."""
    expired = select(client_assertions.c.hash).where(client_assertions.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(client_assertions).where(client_assertions.c.hash.in_(expired))).rowcount

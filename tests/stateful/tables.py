"""The rows that the service has stored."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, create_engine, select

from auth_common.database.tables import (
    audit_events,
    audit_salts,
    client_assertions,
    clients,
    email_changes,
    mail_tokens,
    mails,
    metadata,
    passkeys,
    refresh_tokens,
    sessions,
    throttles,
    users,
)
from auth_common.mail.sealing import MailContent, open_mail
from tests.stateful.model import Facts
from tests.support.databases import Database

_Rows = Sequence[Row[Any]]
#: Statements whose value changes with each commit that changes a row. Reading all rows takes ten times as long.
_VERSIONS = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_snapshot()::text"}
_RECORDS = select(audit_events.c.name, audit_events.c.outcome, audit_events.c.user_id)


@dataclass(frozen=True)
class Mail:
    """A mail in the outbox."""

    kind: str
    user_id: UUID | None
    content: MailContent


@dataclass(frozen=True)
class Contents:
    """The rows of all tables at one moment."""

    users: _Rows = ()
    sessions: _Rows = ()
    refresh_tokens: _Rows = ()
    throttles: _Rows = ()
    mail_tokens: _Rows = ()
    email_changes: _Rows = ()
    clients: _Rows = ()
    client_assertions: _Rows = ()
    #: The oldest first.
    passkeys: _Rows = ()
    #: The mails by their ids. Decoys are left out.
    mails: Mapping[UUID, "Mail"] = field(default_factory=dict)
    #: The number of records by name, outcome and user. The first record of each chain is left out.
    audit_records: Counter[Any] = field(default_factory=Counter)

    def facts(self, now: float, counters: Container[bytes]) -> Facts:
        """Return the facts that the model must contain too.

        Args:
            now: seconds since the epoch.
            counters: the keys of the counters in the model, which has none for notices.

        """
        emails = {user.id: user.email for user in self.users}
        facts: Facts = {("assertions", "used"): len(self.client_assertions)}
        for user in self.users:
            is_verified = user.email_verified_at is not None
            facts["account", user.email] = (user.role, user.status, user.token_version, is_verified)
        for row in self.sessions:
            facts["session", row.id] = (emails[row.user_id], row.token_version, row.revoked_at is not None)
            if row.revoked_at is None:
                pending = (row.pending_proofs or 0) if seconds(row.pending_proofs_until) > now else 0
                facts["proofs", row.id] = (row.step_up_hash is not None, row.failed_proofs or 0, pending)
        for row in self.refresh_tokens:
            facts["refresh token", row.session_id, row.generation] = row.spent_at is not None
        for row in self.throttles:
            if row.key in counters and row.failures and seconds(row.expires_at) > now:
                facts["counter", row.key] = (row.failures, seconds(row.locked_until) > now)
        for row in self.clients:
            facts["client", "credentials"] = 1 if row.old_credential is None else 2
        for row in self.mail_tokens:
            key = "mail tokens", row.address_hash, row.purpose
            # The link "this was not me" is not bound to a token version.
            version = None if row.event_at else row.token_version
            facts.setdefault(key, Counter())[version, row.tries, row.used_at is not None] += 1
        reserved = (row for row in self.email_changes if seconds(row.reserved_until) > now)
        facts |= {("reserved", row.old_email): emails[row.user_id] for row in reserved}
        return facts | {("passkey", row.id): emails[row.user_id] for row in self.passkeys}

    def shared_addresses(self, now: float) -> list[str]:
        """Return the addresses that more than one account has or has reserved."""
        users: dict[str, set[UUID]] = {user.email: {user.id} for user in self.users}
        for row in self.email_changes:
            if seconds(row.reserved_until) > now:
                users.setdefault(row.old_email, set()).add(row.user_id)
        return [email for email, ids in users.items() if len(ids) > 1]

    def families(self) -> dict[UUID, list[tuple[int, bool]]]:
        """Return each session's refresh tokens by generation, and whether each is spent."""
        families: dict[UUID, list[tuple[int, bool]]] = {session.id: [] for session in self.sessions}
        for row in sorted(self.refresh_tokens, key=lambda row: row.generation):
            families[row.session_id].append((row.generation, row.spent_at is not None))
        return families


class Tables:
    """The tables of a database."""

    def __init__(self, database: Database) -> None:
        """Connect to the database."""
        # One connection, because the version of SQLite's data is that of a connection.
        self._engine = create_engine(database.url, pool_size=1, max_overflow=0)
        self._version: object = None
        self._contents = Contents()

    def read(self) -> Contents:
        """Return the rows of all tables. They are the same object as before if nothing has changed since."""
        with self._engine.connect() as connection:
            version = connection.exec_driver_sql(_VERSIONS[connection.dialect.name]).scalar_one()
            if version == self._version:
                return self._contents
            of_users = (users, sessions, refresh_tokens, throttles, mail_tokens, email_changes)
            tables = (*of_users, clients, client_assertions)
            rows = {table.name: connection.execute(table.select()).all() for table in tables}
            records = Counter(record for record in connection.execute(_RECORDS).all() if record.name != "sys_startup")
            salts = {row.user_id: row.salt for row in connection.execute(audit_salts.select())}
            opened = {
                row.id: Mail(row.kind, row.user_id, content)
                for row in connection.execute(mails.select().order_by(mails.c.created_at))
                if (content := open_mail(row.sealed, mail_id=row.id, salt=salts.get(row.user_id))) and content.recipient
            }
            own = connection.execute(passkeys.select().order_by(passkeys.c.created_at)).all()
        self._version = version
        self._contents = Contents(audit_records=records, mails=opened, passkeys=own, **rows)
        return self._contents

    def empty(self) -> None:
        """Delete all rows."""
        self._version = None  # A change by the connection itself does not change the version of SQLite's data.
        with self._engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()


def seconds(time: datetime | None) -> float:
    """Return a time in seconds since the epoch. Return 0 for None."""
    return time.timestamp() if time else 0

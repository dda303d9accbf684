"""Locks, brought about and brought to their end."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from auth_common.db.tables import throttles
from tests.support.databases import Database

#: Neither known for the account nor the one that tests usually call from.
ELSEWHERE = "198.51.100.23"


def let_locks_end(database: Database) -> None:
    """Let time go by until every lock is over, and no count."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).where(throttles.c.locked_until.is_not(None)).values(locked_until=past))


def let_counts_end(database: Database) -> None:
    """Let time go by until every count has expired."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).values(expires_at=past))
    let_locks_end(database)


def rows(database: Database) -> list[Any]:
    """Return the counters."""
    return sorted(database.execute(throttles.select()), key=lambda row: row.key)


def failures(database: Database) -> dict[bytes, int]:
    """Return what has been counted, by counter. A count that was taken back is like one that never was."""
    return {row.key: row.failures for row in rows(database) if row.failures}

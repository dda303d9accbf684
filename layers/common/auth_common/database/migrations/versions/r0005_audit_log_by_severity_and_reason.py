"""Indexes of the audit log by severity and by reason, and statistics of all its indexes for SQLite."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from auth_common.database.migrations.concurrent_indexes import create_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: Final = ("severity", "reason")
#: The estimated number of rows with the same value of a column, in a log of ten million rows.
_ROWS: Final = {"user_id": 100, "source": 1_000, "reason": 100_000, "name": 400_000, "severity": 2_000_000}
_LOG: Final = 10_000_000


def upgrade() -> None:
    """Create the indexes while the service continues to write.

    Raises:
        alembic.util.CommandError: Another connection is creating one of the indexes, or has left it incomplete.

    """
    for column in _COLUMNS:
        create_index(f"ix_audit_events_{column}_time", "audit_events", [column, "time"])
    if op.get_context().dialect.name == "sqlite":
        _set_sqlite_statistics()


def _set_sqlite_statistics() -> None:
    """Write statistics that make SQLite use the index with the fewest rows per value.

    PostgreSQL computes them itself. SQLite would read the whole log for them (ANALYZE). Without statistics all indexes
    are equal for SQLite, so for a user's records with a frequent reason it would search by the reason.
    """
    connection = op.get_bind()
    connection.execute(sa.text("ANALYZE sqlite_schema"))  # creates the table of statistics without reading any rows
    connection.execute(sa.text("DELETE FROM sqlite_stat1 WHERE tbl = 'audit_events'"))
    # Without "noskipscan", a query for some hours would search the records of each user in turn.
    by_column = {f"{column}_time": f"{_LOG} {rows} 1 noskipscan" for column, rows in _ROWS.items()}
    statistics = {"time": f"{_LOG} 10", **by_column}
    connection.execute(
        sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('audit_events', :idx, :stat)"),
        [{"idx": f"ix_audit_events_{index}", "stat": stat} for index, stat in statistics.items()],
    )

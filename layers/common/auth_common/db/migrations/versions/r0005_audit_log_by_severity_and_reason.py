"""Indexes of the audit log by severity and by reason, and what SQLite cannot know about all of its indexes."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: Final = ("severity", "reason")
#: Rows that have one value of a column, in a log of ten million: a user's are few, a severity's are many.
_ROWS: Final = {"user_id": 100, "source": 1_000, "reason": 100_000, "name": 400_000, "severity": 2_000_000}
_LOG: Final = 10_000_000


def upgrade() -> None:
    """Create the indexes while the service goes on writing."""
    for column in _COLUMNS:
        name = f"ix_audit_events_{column}_time"
        # PostgreSQL keeps an index whose making was cut off, uses it for nothing, and would take it for ours.
        op.drop_index(name, "audit_events", if_exists=True)
        op.create_index(name, "audit_events", [column, "time"], if_not_exists=True, postgresql_concurrently=True)
    if op.get_context().dialect.name == "sqlite":
        _tell_sqlite()


def _tell_sqlite() -> None:
    """Tell SQLite which index is worth most.

    PostgreSQL finds out by itself. SQLite would have to be asked to read the whole log (ANALYZE), and takes all
    indexes for equal until then: of one user's records with a frequent reason it would look for the reason.
    """
    connection = op.get_bind()
    connection.execute(sa.text("ANALYZE sqlite_schema"))  # makes the table of statistics, and reads nothing
    connection.execute(sa.text("DELETE FROM sqlite_stat1 WHERE tbl = 'audit_events'"))
    statistics = {f"{column}_time": f"{_LOG} {rows} 1" for column, rows in _ROWS.items()} | {"time": f"{_LOG} 10"}
    connection.execute(
        sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('audit_events', :idx, :stat)"),
        [{"idx": f"ix_audit_events_{index}", "stat": stat} for index, stat in statistics.items()],
    )

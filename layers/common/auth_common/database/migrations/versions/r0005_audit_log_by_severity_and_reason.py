"""Indexes of the audit log by severity and by reason, and statistics of all its indexes for SQLite."""

from typing import Final

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: Final = ("severity", "reason")
#: The estimated number of rows with the same value of a column, in a log of ten million rows.
_ROWS: Final = {"user_id": 100, "source": 1_000, "reason": 100_000, "name": 400_000, "severity": 2_000_000}
_LOG: Final = 10_000_000

#: Returns whether another connection is creating an index, and no row if the index is complete or does not exist. The
#: creator has this lock on the table, which every role can see. VACUUM and ANALYZE have it too, and then waiting is
#: harmless.
_UNFINISHED = sa.text("""
    SELECT EXISTS (
        SELECT 1 FROM pg_locks WHERE relation = part.indrelid AND mode = 'ShareUpdateExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid != pg_backend_pid()
    )
    FROM pg_index AS part WHERE part.indexrelid = to_regclass(:name) AND NOT part.indisvalid
""")


def upgrade() -> None:
    """Create the indexes while the service continues to write.

    Raises:
        alembic.util.CommandError: Another connection is creating one of the indexes, or has left it incomplete.

    """
    dialect = op.get_context().dialect.name
    for column in _COLUMNS:
        name = f"ix_audit_events_{column}_time"
        if dialect == "postgresql" and _is_unfinished(name):
            # PostgreSQL keeps an incomplete index, never uses it, and would take it for the index that exists already.
            op.drop_index(name, "audit_events", if_exists=True, postgresql_concurrently=True)
        op.create_index(name, "audit_events", [column, "time"], if_not_exists=True, postgresql_concurrently=True)
        if dialect == "postgresql" and _is_unfinished(name):
            message = f"another connection was interrupted while it created {name}"
            raise CommandError(message)
    if dialect == "sqlite":
        _set_sqlite_statistics()


def _is_unfinished(name: str) -> bool:
    is_being_made = op.get_bind().execute(_UNFINISHED, {"name": name}).scalar_one_or_none()
    if is_being_made:
        message = f"another connection is creating {name}"
        raise CommandError(message)
    return is_being_made is not None


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

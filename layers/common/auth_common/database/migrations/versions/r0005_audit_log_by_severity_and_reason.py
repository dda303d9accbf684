"""Indexes of the audit log by severity and by reason, and what SQLite cannot know about all of its indexes."""

from typing import Final

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: Final = ("severity", "reason")
#: Rows that have one value of a column, in a log of ten million: a user's are few, a severity's are many.
_ROWS: Final = {"user_id": 100, "source": 1_000, "reason": 100_000, "name": 400_000, "severity": 2_000_000}
_LOG: Final = 10_000_000

#: Whether somebody is making an index; no row if it is there, or if there is nothing of it. Who makes one holds this
#: lock on its table, which everybody may see, whoever it is. So do VACUUM and ANALYZE, for which one can wait as well.
_UNFINISHED = sa.text("""
    SELECT EXISTS (
        SELECT 1 FROM pg_locks WHERE relation = part.indrelid AND mode = 'ShareUpdateExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid != pg_backend_pid()
    )
    FROM pg_index AS part WHERE part.indexrelid = to_regclass(:name) AND NOT part.indisvalid
""")


def upgrade() -> None:
    """Create the indexes while the service goes on writing.

    Raises:
        alembic.util.CommandError: somebody else is making one of them, or was until now, and it cannot be used.

    """
    dialect = op.get_context().dialect.name
    for column in _COLUMNS:
        name = f"ix_audit_events_{column}_time"
        if dialect == "postgresql" and _is_unfinished(name):
            # PostgreSQL keeps what is cut off, uses it for nothing, and takes it for the index.
            op.drop_index(name, "audit_events", if_exists=True, postgresql_concurrently=True)
        op.create_index(name, "audit_events", [column, "time"], if_not_exists=True, postgresql_concurrently=True)
        if dialect == "postgresql" and _is_unfinished(name):
            message = f"another's attempt at {name} was cut off meanwhile"
            raise CommandError(message)
    if dialect == "sqlite":
        _tell_sqlite()


def _is_unfinished(name: str) -> bool:
    is_being_made = op.get_bind().execute(_UNFINISHED, {"name": name}).scalar_one_or_none()
    if is_being_made:
        message = f"somebody else is making {name}"
        raise CommandError(message)
    return is_being_made is not None


def _tell_sqlite() -> None:
    """Tell SQLite which index is worth most.

    PostgreSQL finds out by itself. SQLite would have to be asked to read the whole log (ANALYZE), and takes all
    indexes for equal until then: of one user's records with a frequent reason it would look for the reason.
    """
    connection = op.get_bind()
    connection.execute(sa.text("ANALYZE sqlite_schema"))  # makes the table of statistics, and reads nothing
    connection.execute(sa.text("DELETE FROM sqlite_stat1 WHERE tbl = 'audit_events'"))
    # "noskipscan": or a question about some hours would be put to each user's records in turn.
    by_column = {f"{column}_time": f"{_LOG} {rows} 1 noskipscan" for column, rows in _ROWS.items()}
    statistics = {"time": f"{_LOG} 10", **by_column}
    connection.execute(
        sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('audit_events', :idx, :stat)"),
        [{"idx": f"ix_audit_events_{index}", "stat": stat} for index, stat in statistics.items()],
    )

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


#: A part of an index, which PostgreSQL keeps where its making was cut off, uses for nothing, and takes for the index
#: itself; and whether somebody is still making it.
_PART = sa.text("""
    SELECT EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS making WHERE making.index_relid = part.indexrelid)
    FROM pg_index AS part WHERE part.indexrelid = to_regclass(:name) AND NOT part.indisvalid
""")


def upgrade() -> None:
    """Create the indexes while the service goes on writing.

    Raises:
        alembic.util.CommandError: somebody else is making one of them.

    """
    dialect = op.get_context().dialect.name
    for column in _COLUMNS:
        name = f"ix_audit_events_{column}_time"
        if dialect == "postgresql":
            _drop_part(name)
        op.create_index(name, "audit_events", [column, "time"], if_not_exists=True, postgresql_concurrently=True)
    if dialect == "sqlite":
        _tell_sqlite()


def _drop_part(name: str) -> None:
    is_being_made = op.get_bind().execute(_PART, {"name": name}).scalar_one_or_none()
    if is_being_made:
        message = f"somebody else is making {name}"
        raise CommandError(message)
    if is_being_made is not None:
        op.drop_index(name, "audit_events", if_exists=True, postgresql_concurrently=True)


def _tell_sqlite() -> None:
    """Tell SQLite which index is worth most.

    PostgreSQL finds out by itself. SQLite would have to be asked to read the whole log (ANALYZE), and takes all
    indexes for equal until then: of one user's records with a frequent reason it would look for the reason.
    """
    connection = op.get_bind()
    connection.execute(sa.text("ANALYZE sqlite_schema"))  # makes the table of statistics, and reads nothing
    connection.execute(sa.text("DELETE FROM sqlite_stat1 WHERE tbl = 'audit_events'"))
    # "noskipscan": or a question about some hours would be put to each user's records in turn.
    statistics = {f"{column}_time": f"{_LOG} {rows} 1 noskipscan" for column, rows in _ROWS.items()}
    connection.execute(
        sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('audit_events', :idx, :stat)"),
        [
            {"idx": f"ix_audit_events_{index}", "stat": stat}
            for index, stat in {**statistics, "time": f"{_LOG} 10"}.items()
        ],
    )

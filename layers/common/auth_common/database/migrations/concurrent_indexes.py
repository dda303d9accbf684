"""Create an index of a table that the service writes to meanwhile."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

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


def create_index(name: str, table: str, columns: list[str]) -> None:
    """Create an index, if it does not exist, while the service continues to write.

    Raises:
        alembic.util.CommandError: Another connection is creating the index, or has left it incomplete.

    """
    is_postgresql = op.get_context().dialect.name == "postgresql"
    if is_postgresql and _is_unfinished(name):
        # PostgreSQL keeps an incomplete index, never uses it, and would take it for the index that exists already.
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.create_index(name, table, columns, if_not_exists=True, postgresql_concurrently=True)
    if is_postgresql and _is_unfinished(name):
        message = f"another connection was interrupted while it created {name}"
        raise CommandError(message)


def _is_unfinished(name: str) -> bool:
    is_being_made = op.get_bind().execute(_UNFINISHED, {"name": name}).scalar_one_or_none()
    if is_being_made:
        message = f"another connection is creating {name}"
        raise CommandError(message)
    return is_being_made is not None

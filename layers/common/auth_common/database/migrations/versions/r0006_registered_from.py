"""The client IP that an account was registered from, as a keyed hash."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import KeyBytes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Accounts from before have no such client IP."""
    if op.get_context().dialect.name != "sqlite":
        # Without NOT NULL and without a default, because Aurora DSQL adds no other columns.
        op.add_column("users", sa.Column("registered_from", KeyBytes(16)), if_not_exists=True)
    elif not _has_column():
        # SQLite has no ADD COLUMN IF NOT EXISTS.
        op.add_column("users", sa.Column("registered_from", KeyBytes(16)))


def _has_column() -> bool:
    return any(column["name"] == "registered_from" for column in sa.inspect(op.get_bind()).get_columns("users"))

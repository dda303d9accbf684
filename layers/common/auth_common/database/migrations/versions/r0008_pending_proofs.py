"""Proofs of identity that are being checked, apart from those that were wrong."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: Without NOT NULL and without defaults, because Aurora DSQL adds no other columns.
_COLUMNS: Final[dict[str, Any]] = {"pending_proofs": sa.Integer(), "pending_proofs_until": UtcDateTime()}


def upgrade() -> None:
    """Add the columns to the sessions, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite has no ADD COLUMN IF NOT EXISTS.
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sessions")} if is_sqlite else set()
    for name, kind in _COLUMNS.items():
        if name not in present:
            op.add_column("sessions", sa.Column(name, kind), if_not_exists=None if is_sqlite else True)

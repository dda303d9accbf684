"""Step-up: the token of a session, its failed proofs, and what a ceremony of a logged-in user is bound to."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: Without NOT NULL and without defaults, because Aurora DSQL adds no other columns.
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "sessions": {
        "step_up_hash": sa.LargeBinary(32),
        "step_up_amr": sa.String(100),
        "step_up_expires_at": UtcDateTime(),
        "failed_proofs": sa.Integer(),
    },
    "challenges": {"session_id": sa.Uuid(), "passkey_ids": sa.Text()},
}


def upgrade() -> None:
    """Add the columns, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    for table, columns in _COLUMNS.items():
        # SQLite has no ADD COLUMN IF NOT EXISTS.
        present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)} if is_sqlite else set()
        for name, kind in columns.items():
            if name not in present:
                op.add_column(table, sa.Column(name, kind), if_not_exists=None if is_sqlite else True)

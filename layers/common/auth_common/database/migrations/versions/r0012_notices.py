"""Links "this was not me" of notices: the event that each is about, and its use."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: Without NOT NULL and without defaults, because Aurora DSQL adds no other columns.
_COLUMNS: Final[dict[str, Any]] = {"event_at": UtcDateTime(), "used_at": UtcDateTime()}


def upgrade() -> None:
    """Add the columns to the mail tokens, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite has no ADD COLUMN IF NOT EXISTS.
    found = sa.inspect(op.get_bind()).get_columns("mail_tokens") if is_sqlite else []
    present = {column["name"] for column in found}
    for name, kind in _COLUMNS.items():
        if name not in present:
            op.add_column("mail_tokens", sa.Column(name, kind), if_not_exists=None if is_sqlite else True)

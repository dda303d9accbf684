"""Changes of addresses: the new address in a mail token, and the table that reserves old addresses."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite has no ADD COLUMN IF NOT EXISTS.
    present = sa.inspect(op.get_bind()).get_columns("mail_tokens") if is_sqlite else []
    if "new_email" not in {column["name"] for column in present}:
        column = sa.Column("new_email", sa.String(320))
        op.add_column("mail_tokens", column, if_not_exists=None if is_sqlite else True)
    op.create_table(
        "email_changes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("old_email", sa.String(320), nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.Column("reserved_until", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_email_changes"),
        if_not_exists=True,
    )
    for column_name in ("user_id", "old_email", "reserved_until"):
        op.create_index(f"ix_email_changes_{column_name}", "email_changes", [column_name], if_not_exists=True)

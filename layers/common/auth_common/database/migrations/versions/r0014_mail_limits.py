"""When a mail was sent, and pauses of mail."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.migrations.concurrent_indexes import create_index
from auth_common.database.tables import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, the indexes and the table, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite has no ADD COLUMN IF NOT EXISTS.
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("mails")} if is_sqlite else set()
    if "sent_at" not in present:
        # Without NOT NULL and without a default, because Aurora DSQL adds no other columns.
        op.add_column("mails", sa.Column("sent_at", UtcDateTime()), if_not_exists=None if is_sqlite else True)
    create_index("ix_mails_sent_at", "mails", ["sent_at"])
    create_index("ix_mail_suppressions_bounced_at", "mail_suppressions", ["bounced_at"])
    op.create_table(
        "mail_pauses",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("paused_at", UtcDateTime, nullable=False),
        sa.Column("resumed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("name", name="pk_mail_pauses"),
        if_not_exists=True,
    )

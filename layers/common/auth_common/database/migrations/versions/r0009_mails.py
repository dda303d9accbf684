"""The outbox of mails."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("unrecorded_attempts", sa.Integer, nullable=False),
        sa.Column("lease", sa.Uuid),
        sa.Column("provider_message_id", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        if_not_exists=True,
    )
    for column in ("next_attempt_at", "expires_at", "user_id", "provider_message_id"):
        op.create_index(f"ix_mails_{column}", "mails", [column], if_not_exists=True)

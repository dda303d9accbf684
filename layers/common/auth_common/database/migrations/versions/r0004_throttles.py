"""Counters of failed attempts."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import KeyBytes, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "throttles",
        sa.Column("key", KeyBytes(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("locked_until", UtcDateTime),
        sa.Column("refusal_recorded", sa.Boolean, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttles"),
        if_not_exists=True,
    )
    op.create_index("ix_throttles_expires_at", "throttles", ["expires_at"], if_not_exists=True)

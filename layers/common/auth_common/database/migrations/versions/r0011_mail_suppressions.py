"""Addresses that get no mail because of bounces, or no notices because of complaints."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import KeyBytes, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "mail_suppressions",
        sa.Column("address_hash", KeyBytes(16), nullable=False),
        sa.Column("bounced_at", UtcDateTime),
        sa.Column("complained_at", UtcDateTime),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name="pk_mail_suppressions"),
        if_not_exists=True,
    )
    op.create_index("ix_mail_suppressions_expires_at", "mail_suppressions", ["expires_at"], if_not_exists=True)

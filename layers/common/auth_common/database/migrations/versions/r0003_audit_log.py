"""The audit log."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import KeyBytes

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "audit_events",
        sa.Column("chain_id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("outcome", sa.String(7), nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("source", KeyBytes(16)),
        sa.Column("reason", sa.String(60)),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "sequence", name="pk_audit_events"),
        if_not_exists=True,
    )
    op.create_index("ix_audit_events_time", "audit_events", ["time"], if_not_exists=True)
    op.create_index("ix_audit_events_name_time", "audit_events", ["name", "time"], if_not_exists=True)
    op.create_index("ix_audit_events_user_id_time", "audit_events", ["user_id", "time"], if_not_exists=True)
    op.create_index("ix_audit_events_source_time", "audit_events", ["source", "time"], if_not_exists=True)
    op.create_table(
        "audit_salts",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("salt", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_audit_salts"),
        if_not_exists=True,
    )

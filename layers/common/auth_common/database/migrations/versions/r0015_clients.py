"""Clients that authenticate with a secret or a key, and the assertions that they have used."""

import sqlalchemy as sa
from alembic import op

from auth_common.database.tables import KeyBytes, UtcDateTime, Words

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the index, each in its own transaction."""
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("audience", sa.String(200)),
        sa.Column("resources", Words(8_000), nullable=False),
        sa.Column("scopes", Words(8_000), nullable=False),
        sa.Column("may_introspect", sa.Boolean, nullable=False),
        sa.Column("algorithm", sa.String(10)),
        sa.Column("credential", sa.LargeBinary(1_024), nullable=False),
        sa.Column("old_credential", sa.LargeBinary(1_024)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("rotated_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("name", name="uq_clients_name"),
        if_not_exists=True,
    )
    op.create_table(
        "client_assertions",
        sa.Column("hash", KeyBytes(32), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_client_assertions"),
        if_not_exists=True,
    )
    op.create_index("ix_client_assertions_expires_at", "client_assertions", ["expires_at"], if_not_exists=True)

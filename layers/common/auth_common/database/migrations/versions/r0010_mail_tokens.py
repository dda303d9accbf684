"""Verified addresses: columns of users, and the table of the links and codes that were sent by mail."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from auth_common.database.migrations.concurrent_indexes import create_index
from auth_common.database.tables import KeyBytes, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

#: Without NOT NULL and without defaults, because Aurora DSQL adds no other columns.
_COLUMNS: Final[dict[str, Any]] = {
    "known_ip_since": UtcDateTime(),
    "known_ip_version": sa.Integer(),
    "email_verified_at": UtcDateTime(),
    "locale": sa.String(35),
    "unused_until": UtcDateTime(),
}


def upgrade() -> None:
    """Add the columns and the table, each in its own transaction."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite has no ADD COLUMN IF NOT EXISTS.
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("users")} if is_sqlite else set()
    for name, kind in _COLUMNS.items():
        if name not in present:
            op.add_column("users", sa.Column(name, kind), if_not_exists=None if is_sqlite else True)
    create_index("ix_users_unused_until", "users", ["unused_until"])
    op.create_table(
        "mail_tokens",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("address_hash", KeyBytes(16), nullable=False),
        sa.Column("token_hash", KeyBytes(32), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(32)),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("token_version", sa.Integer),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("code_expires_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_mail_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_mail_tokens_token_hash"),
        if_not_exists=True,
    )
    for column in ("user_id", "address_hash", "expires_at"):
        op.create_index(f"ix_mail_tokens_{column}", "mail_tokens", [column], if_not_exists=True)

"""Alembic's entry point, which runs the migrations on the connection of ``upgrade()``."""

from typing import Any

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Column, MetaData, String, Table

from auth_common.database.tables import metadata


class AuroraDSQLImpl(PostgresqlImpl):
    """Makes Alembic, which finds implementations by the dialect's name, treat Aurora DSQL like PostgreSQL."""

    __dialect__ = "auroradsql"

    def version_table_impl(self, *, version_table: str, version_table_schema: str | None, **_: Any) -> Table:
        """Return the table of the revision, with a unique column instead of Alembic's primary key.

        Alembic updates the revision in place, and Aurora DSQL's documentation does not say that a primary key can be
        updated. Without uniqueness two concurrent migrations would both record the first revision.
        """
        revision = Column("version_num", String(32), nullable=False, unique=True)
        return Table(version_table, MetaData(), revision, schema=version_table_schema)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The connection is in AUTOCOMMIT mode, because Aurora DSQL rejects a transaction with two DDL statements.
    transactional_ddl=False,
)
context.run_migrations()

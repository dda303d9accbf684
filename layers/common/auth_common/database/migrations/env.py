"""Alembic's entry point: migrate over the connection that ``upgrade()`` hands over."""

from typing import Any

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Column, MetaData, String, Table

from auth_common.database.tables import metadata


class AuroraDSQLImpl(PostgresqlImpl):
    """Lets Alembic, which knows dialects by their names, write for Aurora DSQL as for PostgreSQL."""

    __dialect__ = "auroradsql"

    def version_table_impl(self, *, version_table: str, version_table_schema: str | None, **_: Any) -> Table:
        """Return the table of the revision, without Alembic's primary key.

        Alembic updates the revision in place, and Aurora DSQL's documentation does not say that a primary key can be
        updated. Unique it must stay: two migrations at once would both record the first revision.
        """
        revision = Column("version_num", String(32), nullable=False, unique=True)
        return Table(version_table, MetaData(), revision, schema=version_table_schema)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The connection is in AUTOCOMMIT mode: no transaction holds two DDL statements (DSQL would refuse it).
    transactional_ddl=False,
)
context.run_migrations()

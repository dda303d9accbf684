"""Alembic's entry point: migrate over the connection that ``upgrade()`` hands over."""

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl

from auth_common.db.tables import metadata


class AuroraDSQLImpl(PostgresqlImpl):
    """Lets Alembic, which knows dialects by their names, write for Aurora DSQL as for PostgreSQL."""

    __dialect__ = "auroradsql"


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The connection is in AUTOCOMMIT mode: no transaction holds two DDL statements (DSQL would refuse it).
    transactional_ddl=False,
)
context.run_migrations()

"""Migrations of the schema by Alembic, under the rules of Aurora DSQL: one DDL statement per transaction, without DML.

So each statement commits by itself and has ``IF NOT EXISTS``, and an interrupted migration can be run again.

Functions of the previous version run during a migration, and after it if a deployment is rolled back. So a migration
only adds to the schema. A later version deletes what no function uses any more.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from auth_common.file_lock import exclusive_lock

#: The newest revision in ``versions/``, so that a cold start need not load Alembic to find it. A test compares the two.
HEAD: Final = "0015"


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database. Return None for a database without the schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    # The newest counts. Of two concurrent migrations, the slower may have recorded an older revision after the faster.
    revision: str | None = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one()
    return revision


def migrate_local_database(engine: Engine, *, lock_file: Path) -> None:
    """Migrate a database of the ``local`` stage to ``HEAD``, once even if several functions start together.

    In deployed stages only the deployment may change the schema.

    Args:
        engine: The engine of the database.
        lock_file: The file that keeps other processes from migrating at the same time.

    """
    with exclusive_lock(lock_file), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        migrate(connection)


def migrate(connection: Connection) -> str:
    """Migrate the database to ``HEAD`` on ``connection``, which must be in AUTOCOMMIT mode. Return its revision.

    A newer revision, as after a rollback of a deployment, is left unchanged. Of two concurrent calls one may fail, and
    can be repeated.
    """
    revision = current_revision(connection)
    if revision is not None and revision >= HEAD:
        return revision
    if revision is not None:
        # Alembic does not migrate from two revisions at once. Each step can run again, so only the newest is kept.
        older = text("DELETE FROM alembic_version WHERE version_num < :newest")
        connection.execute(older.bindparams(newest=revision))
    upgrade(connection)
    return HEAD


def upgrade(connection: Connection) -> None:
    """Run the missing migrations up to ``HEAD`` on ``connection``, which must be in AUTOCOMMIT mode."""
    from alembic import command  # noqa: PLC0415 - takes 300 ms, which a current schema does not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # A percent sign is escaped, because ConfigParser reads it as the start of a reference to another option.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

"""Schema changes, by Alembic, under the rules of Aurora DSQL: one DDL statement a transaction, none with DML.

So each statement commits by itself and says ``IF NOT EXISTS``: a migration that was cut off is simply run again.

The functions of the version before go on while a migration runs, and after it where a deployment is rolled back. So a
migration only adds; what nobody uses any more goes with a later version.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from auth_common.file_lock import exclusive_lock

#: The newest revision in ``versions/``. Written here too, so that a cold start need not load Alembic to compare it
#: (a test holds the two equal).
HEAD: Final = "0008"


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at. Return None for a database without our schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    # The newest: of two migrations at once, the slower may have recorded a revision that the faster has left.
    revision: str | None = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one()
    return revision


def migrate_local_database(engine: Engine, *, lock_file: Path) -> None:
    """Bring a database of the ``local`` stage to ``HEAD``, once, however many functions start together.

    Deployed stages never do this: there only the deployment may change the schema.
    """
    with exclusive_lock(lock_file), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        migrate(connection)


def migrate(connection: Connection) -> str:
    """Bring the database to ``HEAD`` on ``connection``, which must be in AUTOCOMMIT mode; return its revision then.

    That is a newer one where a deployment is being rolled back, or a developer goes back: what is there stays. Of two
    who do this at once one may fail, and try again.
    """
    revision = current_revision(connection)
    if revision is not None and revision >= HEAD:
        return revision
    if revision is not None:
        # Alembic refuses to go on from two revisions of one line. Each step can run again, so the newest counts.
        older = text("DELETE FROM alembic_version WHERE version_num < :newest")
        connection.execute(older.bindparams(newest=revision))
    upgrade(connection)
    return HEAD


def upgrade(connection: Connection) -> None:
    """Run what is missing up to ``HEAD`` on ``connection``, which must be in AUTOCOMMIT mode."""
    from alembic import command  # noqa: PLC0415 - 300 ms of import that a cold start with a current schema saves
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # ConfigParser reads a percent sign as the start of a reference to another option.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

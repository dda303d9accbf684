"""The database's schema and privileges, as a deployment or an operator brings them up to date."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from auth_common.database import migrations
from auth_common.database.engine import open_engine
from auth_common.database.privileges import grant_privileges
from auth_common.events.logger import logger

#: Seconds that a statement may take, since an index of a large table takes its time; and after which nothing is tried
#: again. Both together are less than the function has (template.yaml).
_TIMEOUT_SECONDS: Final = 300
#: Tries, and seconds in between.
_MAX_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.5


def migrate_schema(iam_roles: Mapping[str, Sequence[str]]) -> str:
    """Bring the database to this version's schema, or leave a newer one as it is. Return its revision.

    Safe to run again, and for two to run at once.

    Args:
        iam_roles: on Aurora DSQL, which IAM roles take on which role in the database (``database.privileges``).

    Raises:
        Misconfigured, ServiceUnavailable, StorageNotMounted: as for ``open_engine``.
        sqlalchemy.exc.DBAPIError, alembic.util.CommandError: the database is away or refuses.
        ValueError: as for ``grant_privileges``.

    """
    engine = open_engine(timeout=_TIMEOUT_SECONDS)
    end = time.monotonic() + _TIMEOUT_SECONDS
    try:
        tries = 0
        while True:
            tries += 1
            try:
                revision = _migrate(engine, iam_roles)
                break
            # Of two that take the same step at once one fails: at a table or role that is there already, at a revision
            # that the database has left, or, on Aurora DSQL, at a schema that has changed meanwhile.
            except (DBAPIError, CommandError):
                if tries == _MAX_TRIES or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_SECONDS)
    finally:
        engine.dispose()
    logger.info("schema migrated", extra={"revision": revision})
    return revision


def _migrate(engine: Engine, iam_roles: Mapping[str, Sequence[str]]) -> str:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        revision = migrations.migrate(connection)
        grant_privileges(connection, iam_roles)
    return revision

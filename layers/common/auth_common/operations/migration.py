"""Migrate the database's schema and grant its privileges. Deployments and operators do this."""

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

#: Limit for one statement, because building the index of a large table takes long. After the same time, no step is
#: retried. Both together are less than the function's timeout (template.yaml).
_TIMEOUT_SECONDS: Final = 300
#: Tries per run, and the pause between two tries.
_MAX_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.5


def migrate_schema(iam_roles: Mapping[str, Sequence[str]]) -> str:
    """Migrate the database to the schema of this version, and return its revision. A newer schema stays unchanged.

    A run can be repeated, and two runs can be concurrent.

    Args:
        iam_roles: on Aurora DSQL, for a database role, the IAM roles that may use it (``database.privileges``).

    Raises:
        Misconfigured, ServiceUnavailable, StorageNotMounted: as for ``open_engine``.
        sqlalchemy.exc.DBAPIError, alembic.util.CommandError: the database is unavailable or rejects a statement.
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
            # If two runs do the same step concurrently, one fails. The table or role exists already, the database has
            # another revision by now, or on Aurora DSQL, the schema has changed since the statement began.
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

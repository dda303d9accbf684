"""Run a function in a transaction, and run it again after a conflict or a lost connection.

Aurora DSQL reports each conflict as SQLSTATE 40001 at commit, PostgreSQL does so under REPEATABLE READ, and SQLite has
one writer at a time. A function can run again. The block of a ``with`` statement cannot.

Services use ``transactions.py``, which also records their security events.
"""

import time
from collections.abc import Callable
from random import SystemRandom
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from auth_common.database.engine import (
    discard_outdated_engine,
    shared_engine,
    shared_reading_engine,
    single_statement_engine,
)
from auth_common.database.time_limit import is_time_up, require_time
from auth_common.errors import DatabaseUnavailable
from auth_common.settings import settings

_T = TypeVar("_T")
#: Tries in all. With the pauses below, a request that keeps losing gives up after about a second.
_ATTEMPTS: Final = 6
#: Seconds. The longest first pause. Each further one may last twice as long.
_FIRST_PAUSE: Final = 0.02
#: The operating system's generator, because a seed would be the same in every copy of a snapshot.
_random: Final = SystemRandom()
#: serialization_failure and deadlock_detected, after which PostgreSQL advises a retry (DSQL has only the first).
_RETRY_SQLSTATES: Final = frozenset({"40001", "40P01"})


def run_transaction(body: Callable[[Connection], _T]) -> _T:
    """Run ``body`` in a transaction, commit, and return its result.

    Raises:
        DatabaseUnavailable: The database is away, slow, locked or full, or every try met a conflict.
        sqlalchemy.exc.IntegrityError: A constraint rejects the change.

    """
    return _run(body, shared_engine)


def run_read(body: Callable[[Connection], _T]) -> _T:
    """Run ``body`` on a connection that only reads, without BEGIN and COMMIT, and return its result.

    Raises:
        DatabaseUnavailable: As for ``run_transaction``.

    """
    return _run(body, shared_reading_engine)


def run_single_statement(body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which executes one statement that writes, without BEGIN and COMMIT, and return its result.

    Raises:
        DatabaseUnavailable: As for ``run_transaction``. If the connection was lost, the statement may be committed.
        sqlalchemy.exc.IntegrityError: A constraint rejects the change.

    """
    return _run(body, single_statement_engine, commits_in_body=True)


def _run(body: Callable[[Connection], _T], engine: Callable[[], Engine], *, commits_in_body: bool = False) -> _T:
    begun = time.monotonic()
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Full jitter, so that transactions that collided do not collide again. No pause before the first try,
            # because even one of length 0 would yield the processor to another thread.
            time.sleep(_random.uniform(0, _FIRST_PAUSE * 2**attempt))
        require_time()  # before connecting too, since a connection after the deadline would be of no use
        connected = committing = False
        try:
            with engine().begin() as connection:
                connected, committing = True, commits_in_body
                result = body(connection)
                committing = True
            return result  # noqa: TRY300 - the commit happens as the block above ends
        except IntegrityError:
            raise
        except NoConnectionFree as error:
            raise DatabaseUnavailable from error
        except DBAPIError as error:
            lost_before_commit = error.connection_invalidated and not committing
            is_slow = time.monotonic() - begun >= settings().database_timeout or is_time_up()
            may_pass = _sqlstate(error) in _RETRY_SQLSTATES or lost_before_commit
            if is_slow or not (may_pass or (not connected and discard_outdated_engine())):
                raise DatabaseUnavailable(may_be_committed=committing and error.connection_invalidated) from error
    raise DatabaseUnavailable


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)

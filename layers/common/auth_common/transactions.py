"""``transaction()`` and ``read()``: the only way in which a service reaches the database.

A transaction may fail for reasons that a second try fixes. Aurora DSQL reports each conflict as SQLSTATE 40001 at
commit, PostgreSQL does so under REPEATABLE READ, and SQLite has one writer at a time. So a transaction is a function
that can run again, and not a ``with`` block.
"""

import time
from collections.abc import Callable
from random import SystemRandom
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from auth_common.audit_log.writer import install, run_audited
from auth_common.database.engine import forget_moved_database, shared_engine, shared_reading_engine
from auth_common.database.time_limit import is_time_up, require_time
from auth_common.errors import DatabaseUnavailable
from auth_common.settings import settings

_T = TypeVar("_T")
#: Tries in all. With the pauses below, a request that keeps losing gives up after about a second.
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.02
#: The operating system's: a generator of our own would be the same in every copy of a snapshot.
_random: Final = SystemRandom()
#: serialization_failure and deadlock_detected: PostgreSQL's "run it again" (DSQL knows only the first).
_RETRY_SQLSTATES: Final = frozenset({"40001", "40P01"})


def transaction(body: Callable[[Connection], _T]) -> _T:
    """Run ``body`` in one transaction, commit, and return what it returned.

    ``body`` runs again when the database reports a conflict, so it must change nothing but the database. An exception
    of its own rolls back and passes through. ``audit_log.writer`` records its security events in this transaction.

    Raises:
        DatabaseUnavailable: the database is away, slow, locked or full, or every try met a conflict.
        sqlalchemy.exc.IntegrityError: a constraint rejects the change. The store of ``body`` knows which one to expect.

    """
    return run_audited(body, run=_run_writing, handler=_audit_log)


def read(body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which only reads: no BEGIN and no COMMIT, hence one round trip a statement.

    Raises:
        DatabaseUnavailable: as for ``transaction``.

    """
    return run_audited(body, run=_run_reading, handler=_audit_log, read_only=True)


def _run_writing(body: Callable[[Connection], _T]) -> _T:
    return _run(body, shared_engine)


def _run_reading(body: Callable[[Connection], _T]) -> _T:
    return _run(body, shared_reading_engine)


def _run(body: Callable[[Connection], _T], engine: Callable[[], Engine]) -> _T:
    begun = time.monotonic()
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Full jitter, so that transactions that collided do not collide again. No pause before the first try: even
            # one of length 0 would yield the processor to another thread.
            time.sleep(_random.uniform(0, _FIRST_PAUSE * 2**attempt))
        require_time()  # also here, so that no connection is made for nothing
        connected = committing = False
        try:
            with engine().begin() as connection:
                connected = True
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
            if is_slow or not (may_pass or (not connected and forget_moved_database())):
                raise DatabaseUnavailable from error
    raise DatabaseUnavailable


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


#: A function that imports this module has a database, so each of its security events becomes an audit record too.
_audit_log: Final = install(run=_run_writing)

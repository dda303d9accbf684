"""psycopg's connections, with a timeout for each statement that the client enforces.

A statement that waits for a lock, or a server that hangs, would block a function until Lambda ends it. The client would
get no response from this service, and the environment would be lost. PostgreSQL's own ``statement_timeout`` does not
help if the server hangs, and Aurora DSQL rejects that setting.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import Params, PQGen, Query
from psycopg.pq import TransactionStatus

from auth_common.database.time_limit import remaining_seconds
from auth_common.errors import Misconfigured

_T = TypeVar("_T")

_ENCODING: Final = "UTF8"
#: Settings that psycopg and this service require, and that a role or a database may have changed. The server reports
#: each of them when a client connects. Poolers such as RDS Proxy reject them as options of the connection.
_REQUIRED_SETTINGS: Final = {
    "client_encoding": _ENCODING,
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "off",
}
#: Other values of these settings that mean the same.
_EQUIVALENT: Final = {"ISO, DMY", "ISO, YMD", "Etc/UTC", "GMT", "Etc/GMT"}

#: After the deadline only a COMMIT or ROLLBACK is sent, which a working server finishes in this time.
_MIN_WAIT_SECONDS: Final = 0.1
#: The timeout of a cancellation, which needs its own connection.
_CANCEL_SECONDS: Final = 1


class _UnpipelinedCursor(psycopg.Cursor[Any]):
    """A cursor that sends each execution of a statement alone."""

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Execute a statement with each of ``params_seq``. psycopg would send them in a pipeline."""
        with self._conn.lock:
            self._conn.wait(self._executemany_gen_no_pipeline(query, params_seq, returning))


class TimedConnection(psycopg.Connection[Any]):
    """A connection that closes itself when a statement takes longer than ``statement_timeout``."""

    #: Seconds. None waits for ever.
    statement_timeout: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the arguments of psycopg's connections."""
        super().__init__(*arguments, **options)
        self.cursor_factory = _UnpipelinedCursor

    def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait for the server as psycopg does, at most until the timeout or the deadline (``time_limit``).

        Raises:
            psycopg.OperationalError: The time is up, or the connection is lost.

        """
        try:
            return super().wait(gen, interval, self._remaining_seconds() if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                # Without this the server would go on, and keep the locks of a transaction that never ends.
                with contextlib.suppress(psycopg.Error):
                    self.cancel_safe(timeout=_CANCEL_SECONDS)
                self.close()
            raise

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            psycopg.errors.InFailedSqlTransaction: A statement has failed, and its error was caught. PostgreSQL would
                roll back and report no error.

        """
        if self.info.transaction_status == TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction("a statement of the transaction has failed")
        super().commit()

    def _remaining_seconds(self) -> float | None:
        timeout = math.inf if self.statement_timeout is None else self.statement_timeout
        seconds = min(timeout, max(remaining_seconds(), _MIN_WAIT_SECONDS))
        return None if math.isinf(seconds) else seconds


def connect_with(
    statement_timeout: float, *, password: Callable[[], str] | None, kind: type[TimedConnection]
) -> Callable[..., TimedConnection]:
    """Return a listener for SQLAlchemy's event ``do_connect``, which returns a connection.

    Args:
        statement_timeout: In seconds.
        password: Returns the password of a new connection, if each connection needs its own.
        kind: The class of the connection.

    """

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> TimedConnection:
        if password:
            options = options | {"password": password()}
        try:
            connection = kind.connect(*arguments, **options)
        except psycopg.ProgrammingError:
            # The error's text quotes the URL, so it is not chained.
            raise Misconfigured("DATABASE_URL: has an option that PostgreSQL's client does not know") from None
        connection.statement_timeout = statement_timeout
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _prepare(connection: TimedConnection) -> None:
    """Set ``_REQUIRED_SETTINGS``, so that sessions are the same on every server.

    Raises:
        Misconfigured: The encoding of the database is not UTF-8.

    """
    status = connection.info.parameter_status
    encoding = status("server_encoding")
    if encoding not in {None, _ENCODING}:
        message = (
            f"DATABASE_URL: the database's encoding is {encoding}. Make one with "
            f"CREATE DATABASE name ENCODING '{_ENCODING}' TEMPLATE template0"
        )
        raise Misconfigured(message)
    differing = {
        name: value
        for name, value in _REQUIRED_SETTINGS.items()
        if (found := status(name)) not in {None, value} and found not in _EQUIVALENT
    }
    if differing:
        connection.autocommit = True  # a rollback would undo the settings too
        calls = ", ".join(["set_config(%s, %s, false)"] * len(differing))
        connection.execute(f"SELECT {calls}".encode(), [text for setting in differing.items() for text in setting])
        connection.autocommit = False

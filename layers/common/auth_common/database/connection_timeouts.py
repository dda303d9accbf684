"""psycopg's connections, with an end to their patience.

A statement that waits for somebody's lock, or a server that has stopped answering, would keep a function until Lambda
ends it: the client gets no answer of ours, and the environment is lost. PostgreSQL has ``statement_timeout`` for the
first, but a server that hangs does not watch its clock, and Aurora DSQL refuses that setting. So we watch ours.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from auth_common.database.time_limit import remaining_seconds
from auth_common.errors import Misconfigured

_T = TypeVar("_T")

_ENCODING: Final = "UTF8"
#: What a role or a database may set otherwise, and psycopg and this service rely on. The server reports each of them at
#: connecting. Not as options in the connection's first message: poolers such as RDS Proxy refuse those.
_REQUIRED_SETTINGS: Final = {
    "client_encoding": _ENCODING,
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "off",
}
#: Other values that mean the same.
_SAME: Final = {"ISO, DMY", "ISO, YMD", "Etc/UTC", "GMT", "Etc/GMT"}

#: Seconds. After the deadline only a COMMIT or ROLLBACK is sent, which a server that works finishes in this time.
_SHORTEST_WAIT: Final = 0.1
#: Seconds. A cancellation goes through a connection of its own.
_CANCEL_TIMEOUT: Final = 1


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when a statement takes longer than ``patience``."""

    #: Seconds; ``None``: for ever.
    patience: float | None = None

    def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait for the server; see psycopg's own.

        Raises:
            psycopg.OperationalError: it took too long, or the connection is gone.

        """
        try:
            return super().wait(gen, interval, self._patience_left() if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                # Else the server would go on, and hold the locks of a transaction that nobody will end.
                with contextlib.suppress(psycopg.Error):
                    self.cancel_safe(timeout=_CANCEL_TIMEOUT)
                self.close()
            raise

    def _patience_left(self) -> float | None:
        left = min(math.inf if self.patience is None else self.patience, max(remaining_seconds(), _SHORTEST_WAIT))
        return None if math.isinf(left) else left


def connect_with(patience: float, *, password: Callable[[], str] | None = None) -> Callable[..., PatientConnection]:
    """Return a listener for SQLAlchemy's event ``do_connect``.

    Args:
        patience: seconds.
        password: makes one for each connection, where it is not always the same.

    """

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> PatientConnection:
        if password:
            options = options | {"password": password()}
        try:
            connection = PatientConnection.connect(*arguments, **options)
        except psycopg.ProgrammingError:
            # Without its text, which quotes the URL.
            raise Misconfigured("DATABASE_URL: has an option that PostgreSQL's client does not know") from None
        connection.patience = patience
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _prepare(connection: PatientConnection) -> None:
    """Make the session the same on every server.

    Raises:
        Misconfigured: the database has another encoding than UTF-8.

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
        if (found := status(name)) not in {None, value} and found not in _SAME
    }
    if differing:
        connection.autocommit = True  # in a transaction they would be rolled back with it
        calls = ", ".join(["set_config(%s, %s, false)"] * len(differing))
        connection.execute(f"SELECT {calls}".encode(), [text for setting in differing.items() for text in setting])
        connection.autocommit = False

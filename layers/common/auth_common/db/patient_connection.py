"""psycopg's connections, with an end to their patience.

A statement that waits for somebody's lock, or a server that has stopped answering, would keep a function until Lambda
ends it: the client gets no answer of ours, and the environment is lost. PostgreSQL has ``statement_timeout`` for the
first, but a server that hangs does not watch its clock, and Aurora DSQL refuses that setting. So we watch ours.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

_T = TypeVar("_T")

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
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                # Else the server would go on, and hold the locks of a transaction that nobody will end.
                with contextlib.suppress(psycopg.Error):
                    self.cancel_safe(timeout=_CANCEL_TIMEOUT)
                self.close()
            raise


def connect_with(patience: float, *, password: Callable[[], str] | None = None) -> Callable[..., PatientConnection]:
    """Return a listener for SQLAlchemy's event ``do_connect``.

    Args:
        patience: seconds.
        password: makes one for each connection, where it is not always the same.

    """

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> PatientConnection:
        if password:
            options = options | {"password": password()}
        connection = PatientConnection.connect(*arguments, **options)
        connection.patience = patience
        return connection

    return connect

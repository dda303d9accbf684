"""``write_later()``: a write that travels with the next statement or with COMMIT, and costs no round trip of its own.

The drivers of PostgreSQL and Aurora DSQL do this (``database.pipelined_connections``). On SQLite, which has no network,
and if ``DATABASE_PIPELINE`` is ``false``, such a write is executed at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.exc import DBAPIError

Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]

#: The execution options of a statement whose result is not read. The second one is for a statement that another one of
#: the same body follows.
MAY_WAIT: Final = "may_wait"
IS_FOLLOWED: Final = "is_followed"
#: A note on the error of a write that waited. SQLAlchemy names the statement at which the error was raised.
WAITED: Final = "An earlier write of the transaction has failed, which was sent with this statement (write_later)."


def write_later(connection: Connection, statement: Executable, parameters: Parameters) -> None:
    """Execute a write whose result is not read: neither its rows nor the number of rows.

    In a transaction that has begun, the write is sent with the next statement or with COMMIT. If a constraint rejects
    the write, the next ``connection.execute()`` or the commit raises ``IntegrityError``, and nothing of the transaction
    is stored. So use ``connection.execute()`` for a write whose error a store catches.

    Args:
        connection: The connection of a ``transaction()``.
        statement: An INSERT, UPDATE or DELETE.
        parameters: One mapping, or one for each execution of ``statement``.

    """
    connection.execute(statement, parameters, execution_options={MAY_WAIT: True})


def execute_with_next(connection: Connection, statement: Executable, parameters: Mapping[str, Any]) -> None:
    """Execute a statement whose result is not read together with the next one, and with BEGIN if it is the first one.

    The body of the transaction must execute another statement afterwards, and wait for its result. That shows whether
    the connection still works, before COMMIT (``PipelinedConnection.execute_later``).

    Args:
        connection: As for ``write_later``.
        statement: A write.
        parameters: As for ``write_later``.

    """
    connection.execute(statement, parameters, execution_options={MAY_WAIT: True, IS_FOLLOWED: True})


def lock_with_next(connection: Connection, statement: Executable, parameters: Mapping[str, Any]) -> None:
    """Execute a SELECT that locks rows, as ``execute_with_next`` does.

    SQLite needs no row locks, because its transactions that write run one after the other.
    """
    if connection.dialect.name != "sqlite":
        execute_with_next(connection, statement, parameters)


def is_of_waiting_write(error: BaseException) -> bool:
    """Return whether ``error``, or the database error that caused it, is the error of a write that waited."""
    database_error = error if isinstance(error, DBAPIError) else error.__cause__
    return WAITED in getattr(getattr(database_error, "orig", None), "__notes__", ())


def listen_for_waiting_writes(engine: Engine) -> None:
    """Queue the statements of ``write_later()`` on ``engine``, whose connections are ``PipelinedConnection``."""
    event.listen(engine, "do_execute", _queue)
    event.listen(engine, "do_executemany", _queue_many)


def _queue(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Return whether the statement was queued or executed here. Otherwise SQLAlchemy executes it."""
    if not context.execution_options.get(MAY_WAIT):
        return False
    cursor.execute_later(statement, parameters, is_followed=context.execution_options.get(IS_FOLLOWED, False))
    return True


def _queue_many(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    if not context.execution_options.get(MAY_WAIT):
        return False
    cursor.executemany_later(statement, parameters)
    return True

"""psycopg's connections, which send several statements together and wait for all results at once.

Such a *flight* is one round trip. psycopg waits for the result of each statement, of BEGIN and of COMMIT, so its own
pipeline mode saves round trips only between these. Here BEGIN travels with the first statement of a transaction, and
writes that may wait travel with the next statement or with COMMIT (``pipeline.write_later``).

The connection is in libpq's pipeline mode only during a flight. Entering and leaving it sends nothing. Between two
flights everything is as without pipelining: the state of the transaction is known, and psycopg's setters send nothing.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from psycopg.abc import Params, PQGen, Query
from psycopg.generators import send
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from auth_common.database.connection_timeouts import TimedConnection
from auth_common.database.pipeline import WAITED
from auth_common.database.time_limit import require_time


class _Flight(psycopg.Pipeline):
    """psycopg's pipeline, except that it sends all commands together, at the end (``run_gen``)."""

    def __init__(self, connection: "PipelinedConnection") -> None:
        super().__init__(connection)
        #: How many of the next results belong to writes that waited.
        self._results_of_writes = 0

    def _communicate_gen(self) -> PQGen[None]:
        """Send nothing yet. psycopg would send each statement as soon as it is queued."""
        yield from ()

    def _sync_gen(self) -> PQGen[None]:
        """Do not wait. psycopg would wait for the result of BEGIN."""
        yield from ()

    def end_writes(self) -> None:
        """Mark the errors of the commands before this one as those of writes that waited."""
        self._results_of_writes = len(self.result_queue)

    def _process_results(self, queued: Any, results: list[PGresult]) -> None:
        self._results_of_writes -= 1
        try:
            super()._process_results(queued, results)
        except psycopg.Error as error:
            if self._results_of_writes >= 0:
                error.add_note(WAITED)
            raise

    def run_gen(self, commands: PQGen[None]) -> PQGen[None]:
        """Queue ``commands``, send them, and give the results to their cursors.

        Raises:
            psycopg.Error: The error of the first statement that failed. The server has skipped those after it.

        """
        yield from commands
        self._enqueue_sync()
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)
        yield from self._fetch_gen(flush=False)


class PipelinedCursor(psycopg.Cursor[Any]):
    """A cursor whose statement is sent in one flight with BEGIN and with the writes that wait."""

    _conn: "PipelinedConnection"

    def execute(
        self, query: Query, params: Params | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> "PipelinedCursor":
        """Execute a statement and wait for its result."""
        self._conn.execute_in_flight(self._execute_gen(query, params, prepare=prepare, binary=binary))
        return self

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Execute a statement with each of ``params_seq`` and wait for the results."""
        self._conn.execute_in_flight(self._executemany_gen_pipeline(query, params_seq, returning))

    def execute_later(self, query: Query, params: Params, *, is_followed: bool) -> None:
        """Execute a write with the next statement or with COMMIT (``PipelinedConnection.execute_later``)."""
        self._conn.execute_later(lambda: self._copy().generate(query, params), is_followed=is_followed)

    def executemany_later(self, query: Query, params_seq: Iterable[Params]) -> None:
        """Execute a write with each of ``params_seq``, as ``execute_later`` does."""
        self._conn.execute_later(lambda: self._copy().generate_many(query, params_seq))

    def generate(self, query: Query, params: Params) -> PQGen[None]:
        """Return psycopg's generator of a statement, which a flight runs."""
        return self._execute_gen(query, params)

    def generate_many(self, query: Query, params_seq: Iterable[Params]) -> PQGen[None]:
        """Return the generator of a statement that is executed several times."""
        return self._executemany_gen_pipeline(query, params_seq, returning=False)

    def _copy(self) -> "PipelinedCursor":
        """Return another cursor, because SQLAlchemy closes this one before a write that waits is sent."""
        return PipelinedCursor(self._conn)


class PipelinedConnection(TimedConnection):
    """A connection whose cursors are ``PipelinedCursor``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the arguments of psycopg's connections."""
        super().__init__(*arguments, **options)
        self.cursor_factory = PipelinedCursor
        #: Writes of the transaction that the server has not executed. If a flight fails they stay, so that a
        #: transaction whose error was caught cannot commit without them.
        self._waiting: list[Callable[[], PQGen[None]]] = []

    def execute_later(self, write: Callable[[], PQGen[None]], *, is_followed: bool = False) -> None:
        """Execute ``write`` in the next flight, if a transaction has begun. Otherwise execute it now.

        The first statement of a transaction does not wait, because it shows whether the connection still works. A
        transaction that loses its connection before COMMIT can run again. Without a transaction there is no COMMIT.

        Args:
            write: Returns psycopg's generator of the statement.
            is_followed: Whether another statement is executed before COMMIT in any case. The first one then waits, too.

        """
        has_begun = self.pgconn.transaction_status == TransactionStatus.INTRANS
        if has_begun or (is_followed and not self.autocommit):
            self._waiting.append(write)
        else:
            self.execute_in_flight(write())

    def execute_in_flight(self, statement: PQGen[None]) -> None:
        """Send BEGIN, if a transaction must begin, the writes that wait, and ``statement``. Wait for all results.

        Raises:
            psycopg.Error: The error of the first one that failed. The server has skipped those after it.

        """
        flight = _Flight(self)
        self._fly(flight, self._statements_gen(flight, statement))
        self._waiting.clear()

    def commit(self) -> None:
        """Commit the transaction. COMMIT and the writes that wait are sent together.

        Raises:
            DatabaseUnavailable: The deadline has passed, so the writes are not sent.
            psycopg.Error: A write or the commit failed. Nothing is stored, unless the connection is lost.

        """
        if self._waiting:
            require_time()
            self.execute_in_flight(self._commit_gen())
        else:
            super().commit()

    def rollback(self) -> None:
        """Roll back the transaction. Writes that wait are not sent."""
        self._waiting.clear()
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            return
        self._fly(_Flight(self), self._rollback_gen())

    def _statements_gen(self, flight: _Flight, last: PQGen[None]) -> PQGen[None]:
        # psycopg forgets its prepared statements after an error. The server must forget them before new ones are
        # prepared, and psycopg would send DEALLOCATE ALL after ``last``.
        yield from self._prepared.maintain_gen(self)
        yield from super()._start_query()
        for write in self._waiting:
            yield from write()
        if self._waiting:
            flight.end_writes()
        yield from last

    def _start_query(self) -> PQGen[None]:
        """Begin a transaction if necessary. In a flight it has begun (``_statements_gen``)."""
        yield from () if self._pipeline else super()._start_query()

    def _fly(self, flight: _Flight, commands: PQGen[None]) -> None:
        """Queue ``commands`` and send them in one flight, which may take as long as one statement."""
        with self.lock:
            self._pipeline = flight
            try:
                self.pgconn.enter_pipeline_mode()
                self.wait(flight.run_gen(commands))
            except BaseException:
                # Statements that were to be prepared may not be.
                self._prepared.clear()
                raise
            finally:
                self._pipeline = None
                # Fails if the connection is lost or closed.
                with contextlib.suppress(psycopg.Error):
                    self.pgconn.exit_pipeline_mode()

"""Environments of the service, each a process of its own, and the faults that can happen in them.

Each environment has its own settings, engine, connections, keys and chain of audit records. Its process is forked from
``preloaded``, so a cold start is fast.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from tests.support import shortcuts  # noqa: F401 - the import switches them on
from tests.support.clocks import clock_off_by
from tests.support.databases import start_fresh_environment
from tests.support.functions import Response
from tests.support.processes import TIMEOUT_SECONDS

for _function in (
    *("authorizer", "change_password", "get_user", "introspect", "login", "refresh", "register", "reset_password"),
    *("revoke", "secure_account", "sessions", "step_up", "token", "verify_email", "webauthn"),
):
    importlib.import_module(f"functions.{_function}.app")

#: Sends one request, or runs one operator's command, and returns the response. A job is pickled for the environment.
Job = Callable[[], Response]
#: More than the number of times that the service retries a transaction.
MORE_CONFLICTS_THAN_RETRIES = 1_000

_PAUSED = "paused"
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.stateful.preloaded"])


# --- Faults -----------------------------------------------------------------------------------------------------------


class Fault(Protocol):
    """A fault at a point of a job: before its n-th statement or commit, counted from 1."""

    @property
    def is_masked(self) -> bool:
        """Whether the service must respond as if there were no fault."""

    def strike(self, point: int, connection: Connection) -> None:
        """Cause the fault, if this is its point."""


@dataclass(frozen=True)
class Crash:
    """The environment is killed (SIGKILL) at a point, or before the response if the job has fewer points."""

    at: int
    is_masked: ClassVar[bool] = False

    def strike(self, point: int, _connection: Connection | None = None) -> None:
        if point == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class HangUp:
    """The connection is closed at a point."""

    at: int
    is_masked: ClassVar[bool] = False

    def strike(self, point: int, connection: Connection) -> None:
        if point == self.at:
            connection.connection.driver_connection.close()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Conflict:
    """The database reports a conflict (SQLSTATE 40001) at a point, and in total at ``times`` points in a row."""

    at: int
    times: int = 1

    @property
    def is_masked(self) -> bool:
        return self.times == 1

    def strike(self, point: int, _connection: Connection) -> None:
        if self.at <= point < self.at + self.times:
            raise OperationalError("conflict", None, _SerializationFailure())


class _SerializationFailure(Exception):
    sqlstate = "40001"


# --- In the test ------------------------------------------------------------------------------------------------------


class Environment:
    """A running copy of all functions. Its first job, and the first job after a crash, are cold starts."""

    def __init__(self, output: Path) -> None:
        """Prepare an environment with the settings of this process. Its output is appended to the file ``output``."""
        self._output = output
        self._process: Any = None
        self._pipe: Any = None

    def run(self, job: Job, *, now: float, fault: Fault | None = None) -> Response | None:
        """Return the response to ``job`` at the time ``now``. Return None if the environment crashes first."""
        self._send(job, now, fault, pause_at=0)
        response: Response | None = self._receive()
        return response

    def run_around(self, job: Job, *, now: float, pause_at: int, meanwhile: Callable[[], None]) -> Response:
        """Pause ``job`` before its transaction number ``pause_at``, call ``meanwhile``, and continue the job."""
        self._send(job, now, None, pause_at=pause_at)
        outcome = self._receive()
        if outcome == _PAUSED:
            try:
                meanwhile()
            finally:
                self._pipe.send(None)
                outcome = self._receive()
        response: Response = outcome
        return response

    def reset(self) -> None:
        """Make the next job a cold start."""
        if self._process is not None:
            self.run(_reset, now=time.time())

    def stop(self) -> None:
        """Stop the process, if there is one, and wait until it has ended."""
        if self._process is not None:
            self._pipe.close()
            self._process.join()
            self._process.close()
            self._process = None

    def _send(self, job: Job, now: float, fault: Fault | None, *, pause_at: int) -> None:
        if self._process is None:
            self._pipe, theirs = _forks.Pipe()
            self._process = _forks.Process(target=_serve, args=(theirs, dict(os.environ), self._output), daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send((job, now, fault, pause_at))

    def _receive(self) -> Any:
        assert self._pipe.poll(TIMEOUT_SECONDS), "the environment does not respond"
        try:
            outcome = self._pipe.recv()
        except EOFError:
            self.stop()
            return None
        assert not isinstance(outcome, _Failure), outcome.traceback
        return outcome


# --- In the environment -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Failure:
    """A job that raised, for example because a response breaks the contract of all functions."""

    traceback: str


def _reset() -> Response:
    start_fresh_environment()
    return Response(204, {}, "")


class _Watch:
    """Counts the points and transactions of a job, causes its fault, and pauses it."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self.begin_job(None, pause_at=0)
        event.listen(Engine, "begin", self._on_begin)
        event.listen(Engine, "before_cursor_execute", self._on_point)
        event.listen(Engine, "commit", self._on_commit)

    def begin_job(self, fault: Fault | None, *, pause_at: int) -> None:
        self._fault, self._pause_at = fault, pause_at
        self._points = self._transactions = 0

    def _on_point(self, connection: Connection, *_: object) -> None:
        self._points += 1
        if self._fault:
            self._fault.strike(self._points, connection)

    def _on_commit(self, connection: Connection) -> None:
        # In autocommit there is no COMMIT: the statement before was committed as it ended.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            self._on_point(connection)

    def _on_begin(self, _connection: Connection) -> None:
        self._transactions += 1
        if self._transactions == self._pause_at:
            self._pipe.send(_PAUSED)
            self._pipe.recv()


def _serve(pipe: Any, variables: Mapping[str, str], output: Path) -> None:
    os.environ.clear()
    os.environ.update(variables)
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    # A buffered line would be lost in a crash, or would appear in the log of the next example.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Between two tries the service waits for other users of the database. In this test there are none.
    time.sleep = lambda _seconds: None
    watch = _Watch(pipe)
    while True:
        try:
            job, now, fault, pause_at = pipe.recv()
        except EOFError:
            return
        watch.begin_job(fault, pause_at=pause_at)
        try:
            with clock_off_by(now - time.time()):
                outcome: object = job()
        except Exception:  # noqa: BLE001 - the test fails with its traceback
            outcome = _Failure(traceback.format_exc())
        if isinstance(fault, Crash):
            fault.strike(fault.at)
        pipe.send(outcome)

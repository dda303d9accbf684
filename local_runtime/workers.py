"""Start, call, limit and stop workers. Each function has processes of its own, and more of them under load.

This module runs in the runtime's process. ``worker_process`` is the code of the workers.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from local_runtime.cloudformation import function_arn
from local_runtime.environment import function_environment, parent_environment
from local_runtime.template import Function
from local_runtime.worker_process import PAYLOAD_LIMIT, encode

_log = logging.getLogger(__name__)

#: Events that one function handles at the same time. Further events wait. Lambda has 1000 for a new account.
CONCURRENCY: Final = 8
#: Seconds that a function's import may take (Lambda's init phase).
_INIT_TIMEOUT: Final = 10.0


class FunctionFailed(Exception):
    """The function raised an exception, whose text is the same, or exceeded its ``Timeout``."""


class FunctionCrashed(FunctionFailed):
    """The worker ended before it returned a result, or could not import the function."""


class PayloadTooLarge(Exception):
    """The event is larger than Lambda's limit."""


@contextmanager
def worker_factory(
    data_dir: Path, *, preload: Collection[str] = (), shell_variables: Collection[str] = ()
) -> Iterator["WorkerFactory"]:
    """Start the process that workers are forked from. All processes end with the context.

    Args:
        data_dir: the absolute path that each function gets as ``DATA_DIR``.
        preload: modules that the process imports before it forks.
        shell_variables: variables that each function gets from the shell.

    """
    runtime, parent = socket.socketpair()
    with parent:
        process = subprocess.Popen(  # noqa: S603 - no input from outside
            [sys.executable, "-m", "local_runtime.worker_process", str(parent.fileno()), *preload],
            stdin=subprocess.DEVNULL,
            pass_fds=[parent.fileno()],
            env=parent_environment(os.environ),
            # Ctrl-C in the terminal must reach only the runtime, which then stops the workers.
            start_new_session=True,
        )
    try:
        yield WorkerFactory(runtime, data_dir, shell_variables)
    finally:
        runtime.close()  # makes the process stop its workers and exit
        process.wait()


class WorkerFactory:
    """Starts workers."""

    def __init__(self, parent: socket.socket, data_dir: Path, shell_variables: Collection[str] = ()) -> None:
        """Store the connection to the parent process. ``worker_factory`` creates both."""
        self._parent = parent
        self._data_dir = data_dir
        self._shell_variables = shell_variables

    async def start(self, function: Function) -> "Worker":
        """Return a new worker that has imported ``function``.

        Raises:
            FunctionCrashed: the worker could not start or import the function. The terminal shows the reason.

        """
        runtime_end, worker_end = socket.socketpair()
        with worker_end:
            try:
                # The parent reads this when it has imported the libraries.
                socket.send_fds(self._parent, [b"."], [worker_end.fileno()])
            except OSError as error:
                runtime_end.close()
                raise FunctionCrashed("no worker can be started") from error
        worker = Worker(*await asyncio.open_unix_connection(sock=runtime_end, limit=2 * PAYLOAD_LIMIT))
        try:
            worker.pid = (await worker.receive())["pid"]
            async with asyncio.timeout(_INIT_TIMEOUT):
                await worker.exchange(
                    {
                        "name": function.name,
                        "arn": function_arn(function.name),
                        "folder": str(function.folder),
                        "handler": function.handler,
                        "environment": function_environment(
                            function,
                            shell=os.environ,
                            data_dir=self._data_dir,
                            shell_variables=self._shell_variables,
                        ),
                    }
                )
        except TimeoutError as error:
            worker.kill()
            raise FunctionCrashed("the import took too long") from error
        except BaseException:
            worker.kill()
            raise
        return worker


class Worker:
    """The connection to one execution environment."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Store the two halves of the connection. ``WorkerFactory.start`` creates workers."""
        self._reader = reader
        self._writer = writer
        #: None until the process has sent it.
        self.pid: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process has closed its end of the connection."""
        return self._reader.at_eof()

    async def exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and return the response.

        Raises:
            FunctionCrashed: the process ended before it responded.
            PayloadTooLarge: the message is larger than Lambda's limit.

        """
        line = encode(message)
        if len(line) > PAYLOAD_LIMIT:
            raise PayloadTooLarge
        self._writer.write(line + b"\n")
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        """Return the next message.

        Raises:
            FunctionCrashed: the process ended before it sent one.

        """
        try:
            message: dict[str, Any] = json.loads(await self._reader.readuntil())
        except (OSError, EOFError) as error:
            raise FunctionCrashed("the worker has ended") from error
        return message

    def close(self) -> None:
        """Close the connection, so that the idle process exits."""
        self._writer.close()

    def kill(self) -> None:
        """Kill the process, even while it handles an event."""
        if self.pid is not None and not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.close()


class WorkerPool:
    """The workers of one function."""

    def __init__(self, factory: WorkerFactory, function: Function) -> None:
        """Create an empty pool. The first event starts a worker."""
        self._factory = factory
        self._function = function
        self._idle: list[Worker] = []
        self._slots = asyncio.Semaphore(CONCURRENCY)
        #: Only one worker starts at a time. An event that waits for the lock may get a worker that has become idle.
        self._starting = asyncio.Lock()
        self._is_closed = False

    async def warm_up(self) -> None:
        """Start the first worker, so that the first event need not wait for it."""
        with contextlib.suppress(FunctionCrashed):  # the first event fails with it again
            self._release(await self._acquire())

    async def invoke(self, event: Mapping[str, Any]) -> Any:
        """Call the function and return its result.

        Raises:
            FunctionFailed: the function raised an exception, crashed or exceeded its timeout.
            PayloadTooLarge: the event is larger than Lambda's limit.

        """
        timeout = self._function.timeout
        async with self._slots:
            worker = await self._acquire()
            try:
                async with asyncio.timeout(timeout):
                    response = await worker.exchange({"request_id": str(uuid4()), "timeout": timeout, "event": event})
            except PayloadTooLarge:
                self._release(worker)
                raise
            except TimeoutError as error:
                worker.kill()
                message = f"timed out after {timeout:g} seconds"
                _log.error("%s: %s", self._function.name, message)
                raise FunctionFailed(message) from error
            except BaseException:
                worker.kill()
                raise
            self._release(worker)
        if "error" in response:
            raise FunctionFailed(response["error"])
        return response["result"]

    def close(self) -> None:
        """Stop idle workers now, and busy ones after their event."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _acquire(self) -> Worker:
        """Return an idle worker, or a new one."""
        if worker := self._pop_idle():
            return worker
        async with self._starting:
            return self._pop_idle() or await self._factory.start(self._function)

    def _pop_idle(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            worker.close()
        return None

    def _release(self, worker: Worker) -> None:
        if self._is_closed:
            worker.close()
        else:
            self._idle.append(worker)

"""Workers: each function in processes of its own, one event at a time, more of them under load.

The processes themselves are ``worker_process``'s business; here they are started, called, limited and ended.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from local_runtime.cloudformation import function_arn
from local_runtime.environment import function_environment, parent_environment
from local_runtime.template import Function
from local_runtime.worker_process import PAYLOAD_LIMIT, encode

_log = logging.getLogger(__name__)

#: At most so many events of one function at once; the next ones wait. (Lambda: 1000 for a new account.)
CONCURRENCY: Final = 8
#: Seconds that a function's import may take (Lambda's init phase).
_INIT_TIMEOUT: Final = 10.0


class FunctionFailed(Exception):
    """The function raised (the text is the exception's), or was ended because it took longer than its ``Timeout``."""


class FunctionCrashed(FunctionFailed):
    """The worker ended before it answered, or could not import the function."""


class PayloadTooLarge(Exception):
    """The event is larger than Lambda takes."""


@contextmanager
def worker_factory(data_dir: Path) -> Iterator["WorkerFactory"]:
    """Start the process that workers are forked from; when the context ends, so do they all."""
    runtime, parent = socket.socketpair()
    with parent:
        process = subprocess.Popen(  # noqa: S603 - no input from outside
            [sys.executable, "-m", "local_runtime.worker_process", str(parent.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[parent.fileno()],
            env=parent_environment(os.environ),
            # Ctrl-C in the terminal is for the runtime, which ends the workers in order.
            start_new_session=True,
        )
    try:
        yield WorkerFactory(runtime, data_dir)
    finally:
        runtime.close()  # the sign to end
        process.wait()


class WorkerFactory:
    """Starts workers."""

    def __init__(self, parent: socket.socket, data_dir: Path) -> None:
        """Use ``worker_factory``."""
        self._parent = parent
        self._data_dir = data_dir

    async def start(self, function: Function) -> "Worker":
        """Return a new worker that has imported ``function``.

        Raises:
            FunctionCrashed: it could not; the reason is in the terminal.

        """
        own, its = socket.socketpair()
        with its:
            try:
                # Requests wait in the socket until the libraries are loaded.
                socket.send_fds(self._parent, [b"."], [its.fileno()])
            except OSError as error:
                own.close()
                raise FunctionCrashed("no worker can be started") from error
        worker = Worker(*await asyncio.open_unix_connection(sock=own, limit=2 * PAYLOAD_LIMIT))
        try:
            worker.pid = (await worker.receive())["pid"]
            async with asyncio.timeout(_INIT_TIMEOUT):
                await worker.exchange(
                    {
                        "name": function.name,
                        "arn": function_arn(function.name),
                        "folder": str(function.folder),
                        "handler": function.handler,
                        "environment": function_environment(function, shell=os.environ, data_dir=self._data_dir),
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
    """One execution environment, as its connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use ``WorkerFactory.start``."""
        self._reader = reader
        self._writer = writer
        #: Known as soon as the process exists.
        self.pid: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process has closed its side."""
        return self._reader.at_eof()

    async def exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and return the answer.

        Raises:
            FunctionCrashed: the process ended instead.
            PayloadTooLarge: the message is larger than Lambda takes.

        """
        line = encode(message)
        if len(line) > PAYLOAD_LIMIT:
            raise PayloadTooLarge
        self._writer.write(line + b"\n")
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        """Return the next message.

        Raises:
            FunctionCrashed: the process ended instead.

        """
        try:
            answer: dict[str, Any] = json.loads(await self._reader.readuntil())
        except (OSError, EOFError) as error:
            raise FunctionCrashed("the worker has ended") from error
        return answer

    def close(self) -> None:
        """Let the process end by itself. It is idle."""
        self._writer.close()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self.pid is not None and not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.close()


class WorkerPool:
    """The workers of one function."""

    def __init__(self, factory: WorkerFactory, function: Function) -> None:
        """Start nothing yet."""
        self._factory = factory
        self._function = function
        self._idle: list[Worker] = []
        self._slots = asyncio.Semaphore(CONCURRENCY)
        #: One start at a time: whoever waits for it takes a worker that has become idle in the meantime.
        self._starting = asyncio.Lock()
        self._is_closed = False

    async def warm_up(self) -> None:
        """Start the first worker before anybody waits for it."""
        with contextlib.suppress(FunctionCrashed):  # the first request meets it again
            self._put_back(await self._take())

    async def invoke(self, event: Mapping[str, Any]) -> Any:
        """Call the function and return what it returned.

        Raises:
            FunctionFailed: or one of its kinds: the function raised, crashed or took too long.
            PayloadTooLarge: the event is larger than Lambda takes.

        """
        timeout = self._function.timeout
        async with self._slots:
            worker = await self._take()
            try:
                async with asyncio.timeout(timeout):
                    answer = await worker.exchange({"request_id": str(uuid4()), "timeout": timeout, "event": event})
            except PayloadTooLarge:
                self._put_back(worker)
                raise
            except TimeoutError as error:
                worker.kill()
                message = f"timed out after {timeout:g} seconds"
                _log.error("%s: %s", self._function.name, message)
                raise FunctionFailed(message) from error
            except BaseException:
                worker.kill()
                raise
            self._put_back(worker)
        if "error" in answer:
            raise FunctionFailed(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the idle workers now and the busy ones after their event."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> Worker:
        """Return an idle worker, or a new one."""
        if worker := self._take_idle():
            return worker
        async with self._starting:
            return self._take_idle() or await self._factory.start(self._function)

    def _take_idle(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            worker.close()
        return None

    def _put_back(self, worker: Worker) -> None:
        if self._is_closed:
            worker.close()
        else:
            self._idle.append(worker)

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
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from local_runtime.cloudformation import REGION, function_arn
from local_runtime.template import Function
from local_runtime.worker_process import PAYLOAD_LIMIT

_log = logging.getLogger(__name__)

#: At most so many events of one function at once; the next ones wait. (Lambda: 1000 for a new account.)
CONCURRENCY: Final = 8
#: Seconds that a function's import may take (Lambda's init phase).
_INIT_TIMEOUT: Final = 10.0
#: Bytes of one line from a worker: its answer and the envelope.
_LINE_LIMIT: Final = PAYLOAD_LIMIT + 1024


class FunctionError(Exception):
    """The function raised; the text is the exception's."""


class FunctionCrashedError(FunctionError):
    """The worker ended before it answered, or could not import the function."""


class FunctionTimedOutError(FunctionError):
    """The function was ended because it took longer than its ``Timeout``."""


class PayloadTooLargeError(Exception):
    """The event is larger than Lambda takes."""


class WorkerFactory:
    """The process that workers are forked from. A context manager: when it ends, so do they.

    Args:
        environment: passed to the workers, on top of what each function's template entry says.

    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """See the class."""
        self._environment = environment
        self._folder = tempfile.TemporaryDirectory(prefix="local-runtime-")
        self._socket_path = str(Path(self._folder.name) / "workers")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket_path)
            # Connections wait here until the libraries are loaded.
            listener.listen()
            self._process = subprocess.Popen(  # noqa: S603 - no input from outside
                [sys.executable, "-m", "local_runtime.worker_process", str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                # Ctrl-C in the terminal is for the runtime, which ends the workers in order.
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """Return the factory, which is at work already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and all workers."""
        self._process.communicate()  # closes its standard input, which is the sign to end, and waits
        self._folder.cleanup()

    async def start(self, function: Function) -> "Worker":
        """Return a new worker that has imported ``function``.

        Raises:
            FunctionCrashedError: it could not; the reason is in the terminal.

        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=_LINE_LIMIT)
            worker = Worker(reader, writer, pid=json.loads(await reader.readuntil())["pid"])
        except (OSError, EOFError) as error:
            raise FunctionCrashedError("no worker could be started") from error
        try:
            async with asyncio.timeout(_INIT_TIMEOUT):
                await worker.exchange(
                    {
                        "name": function.name,
                        "arn": function_arn(function.name),
                        "folder": str(function.folder),
                        "handler": function.handler,
                        "environment": self._environment_of(function),
                    }
                )
        except BaseException:
            worker.kill()
            raise
        return worker

    def _environment_of(self, function: Function) -> dict[str, str]:
        """Return the environment of a function: Lambda's own variables, the template's, and what we were given."""
        return {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{uuid4().hex}",
            "AWS_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(function.folder),
            "_HANDLER": function.handler,
            **function.environment,
            **self._environment,
        }


class Worker:
    """One execution environment, as its connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, pid: int) -> None:
        """Use ``WorkerFactory.start``."""
        self._reader = reader
        self._writer = writer
        self._pid = pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has closed its side."""
        return self._reader.at_eof()

    async def exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and return the answer.

        Raises:
            FunctionCrashedError: the process ended instead.

        """
        try:
            self._writer.write(encode(message) + b"\n")
            await self._writer.drain()
            answer: dict[str, Any] = json.loads(await self._reader.readuntil())
        except (OSError, EOFError) as error:
            raise FunctionCrashedError("the worker has ended") from error
        return answer

    def close(self) -> None:
        """Let the process end by itself. It is idle."""
        self._writer.close()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self.close()


class WorkerPool:
    """The workers of one function."""

    def __init__(self, factory: WorkerFactory, function: Function) -> None:
        """Start nothing yet."""
        self._factory = factory
        self._function = function
        self._idle: list[Worker] = []
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._is_closed = False

    async def warm_up(self) -> None:
        """Start the first worker before anybody waits for it."""
        with contextlib.suppress(FunctionCrashedError, TimeoutError):  # the first request meets it again
            self._put_back(await self._factory.start(self._function))

    async def invoke(self, event: Mapping[str, Any]) -> Any:
        """Call the function and return what it returned.

        Raises:
            FunctionError: and its subclasses: the function raised, crashed or took too long.
            PayloadTooLargeError: the event is larger than Lambda takes.

        """
        if len(encode(event)) > PAYLOAD_LIMIT:
            raise PayloadTooLargeError
        async with self._slots:
            worker = await self._take()
            try:
                async with asyncio.timeout(self._function.timeout):
                    answer = await worker.exchange(
                        {"request_id": str(uuid4()), "timeout": self._function.timeout, "event": event}
                    )
            except TimeoutError as error:
                worker.kill()
                _log.error("%s: timed out after %g seconds", self._function.name, self._function.timeout)
                raise FunctionTimedOutError from error
            except BaseException:
                worker.kill()
                raise
            self._put_back(worker)
        if "error" in answer:
            raise FunctionError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the idle workers now and the busy ones after their event."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            worker.close()
        try:
            return await self._factory.start(self._function)
        except TimeoutError as error:
            raise FunctionCrashedError("the import took too long") from error

    def _put_back(self, worker: Worker) -> None:
        if self._is_closed:
            worker.close()
        else:
            self._idle.append(worker)


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as it travels, without the line's end."""
    return json.dumps(message, ensure_ascii=False).encode()

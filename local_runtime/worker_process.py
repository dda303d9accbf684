"""The processes of functions: a parent that has imported the libraries, and its children, the execution environments.

The arguments of the parent are the descriptor of its socket and the modules to import. The import of large libraries
can take a second of CPU for each function, and again after each change of the code. The parent imports them once and
forks, so that a worker starts in a tenth of a second. Forking is safe on Linux and macOS because the parent starts no
thread and opens no connection. It must not import the functions' own code, which changes and which reads settings.

The runtime sends one end of a socket pair for each worker. A socket with a path could be opened by another program, and
its path could be too long. The messages are lines of JSON:

    worker    {"pid": 4711}
    runtime   {"name": "LoginFunction", "arn": ..., "folder": ..., "handler": "app.handler", "environment": {...}}
    worker    {"ready": true}                   the worker has imported the function
    runtime   {"request_id": ..., "timeout": 10, "event": {...}}
    worker    {"result": ...}                   or {"error": "the exception's text"}

A worker exits when the runtime closes the connection. The runtime notices at the connection that a worker has ended.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from io import BufferedRWPair
from typing import Any, Final

from local_runtime.terminal import tolerate_lost_output

#: Bytes. Lambda's limit on an event and on a result: 6 MB, and a little for the envelope.
PAYLOAD_LIMIT: Final = 6_291_556
#: Seconds that workers have to exit by themselves after the runtime has ended.
_EXIT_TIMEOUT: Final = 1.0


class LambdaContext:
    """The context object of Lambda's Python runtime."""

    function_version = "$LATEST"
    identity = None
    client_context = None

    def __init__(self, *, name: str, arn: str, request_id: str, timeout: float) -> None:
        """Create the context of one invocation, which starts now. ``timeout`` is in seconds."""
        self.function_name = name
        self.invoked_function_arn = arn
        self.aws_request_id = request_id
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = time.monotonic() + timeout

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the runtime kills this worker."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    """Run the parent process. In a child, ``_fork_workers`` returns a connection, which ``_serve`` then uses."""
    tolerate_lost_output()
    _, descriptor, *libraries = sys.argv
    for library in libraries:
        importlib.import_module(library)
    gc.freeze()  # the garbage collector would write to objects of the libraries, and so copy memory that is shared
    connection = _fork_workers(socket.socket(fileno=int(descriptor)))
    if connection:
        _serve(connection)
    else:
        _stop_workers()


def _fork_workers(runtime: socket.socket) -> socket.socket | None:
    """Fork a child for each connection that ``runtime`` sends.

    Return the connection in the child. Return None in the parent when the runtime has ended.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that have exited do not become zombies
    while True:
        _, descriptors, _, _ = socket.recv_fds(runtime, 1, 1)
        if not descriptors:
            return None
        connection = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            runtime.close()
            return connection
        connection.close()


def _stop_workers() -> None:
    """Wait for the workers to exit, and terminate those that do not. No process stays, even if the runtime crashed."""
    deadline = time.monotonic() + _EXIT_TIMEOUT
    with contextlib.suppress(ChildProcessError):  # raised when no child is left
        while time.monotonic() < deadline:
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.02)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _serve(connection: socket.socket) -> None:
    """Run one execution environment: import one function, and handle one event after the other."""
    stream = connection.makefile("rwb")
    _send(stream, encode({"pid": os.getpid()}))
    if not (line := stream.readline()):
        return
    function = json.loads(line)
    os.environ.clear()
    os.environ.update(function["environment"])
    time.tzset()
    sys.path[0] = function["folder"]  # replaces the project's folder, so that a function cannot import another one
    sys.dont_write_bytecode = True  # two versions of a file with the same second and size would share their bytecode
    try:
        module, attribute = function["handler"].rsplit(".", 1)
        handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    except Exception:  # noqa: BLE001 - the code may raise any exception at its import
        sys.stderr.write(f"{function['name']} cannot be imported:\n{traceback.format_exc()}")
        return
    _send(stream, encode({"ready": True}))
    for line in stream:
        _send(stream, _invoke(handler, function, json.loads(line)))


def _invoke(handler: Any, function: dict[str, Any], invocation: dict[str, Any]) -> bytes:
    """Call the function and return the worker's message. SystemExit ends the environment, as in Lambda."""
    context = LambdaContext(
        name=function["name"],
        arn=function["arn"],
        request_id=invocation["request_id"],
        timeout=invocation["timeout"],
    )
    try:
        message = encode({"result": handler(invocation["event"], context)})
        if len(message) > PAYLOAD_LIMIT:
            reason = f"the result must have at most {PAYLOAD_LIMIT} bytes and has {len(message)}"
            raise ValueError(reason)  # noqa: TRY301 - handled like an exception of the function
    except Exception as error:  # noqa: BLE001 - a function may raise anything
        traceback.print_exc()
        return encode({"error": str(error)})
    return message


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as JSON in UTF-8, without the end of the line."""
    return json.dumps(message, ensure_ascii=False).encode()


def _send(stream: BufferedRWPair, message: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # the runtime has ended, and the next read will notice
        stream.write(message + b"\n")
        stream.flush()


if __name__ == "__main__":
    main()

"""The processes of functions: a parent that has the libraries loaded, and its children, the execution environments.

Importing FastAPI and SQLAlchemy costs a second of CPU, for each of a dozen functions, and again for each change of the
code. So one process imports them once, and forks: a worker then starts in a tenth of a second. The parent imports
nothing of the project (that is what changes, and what reads settings), starts no thread and opens no connection, so
that forking is safe on Linux and macOS. The layer needs no place of its own: it is installed beside the libraries.

The runtime sends one end of a pair of sockets for each worker, so there is no address that another program could find,
or that could be too long. The messages over such a pair are lines of JSON:

    worker    {"pid": 4711}
    runtime   {"name": "LoginFunction", "arn": ..., "folder": ..., "handler": "app.handler", "environment": {...}}
    worker    {"ready": true}                   it has imported the function
    runtime   {"request_id": ..., "timeout": 10, "event": {...}}
    worker    {"result": ...}                   or {"error": "the exception's text"}

A worker ends when the runtime closes the connection; the runtime sees the worker's end on the same connection.
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

#: What the functions import from other people, as far as it is slow.
_LIBRARIES: Final = (
    "aws_lambda_powertools",
    "aws_lambda_powertools.metrics",
    "bcrypt",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "email_validator",
    "fastapi",
    "jwt",
    "mangum",
    "pydantic",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "webauthn",
    "zxcvbn_rs_py",
)

#: Bytes. Lambda's limit on what a function is sent and what it returns (6 MB, and a little for the envelope).
PAYLOAD_LIMIT: Final = 6_291_556
#: Seconds that workers have to end by themselves when the runtime has gone.
_FAREWELL: Final = 1.0


class LambdaContext:
    """The context object of Lambda's Python runtime."""

    function_version = "$LATEST"
    identity = None
    client_context = None

    def __init__(self, *, name: str, arn: str, request_id: str, timeout: float) -> None:
        """Start the clock of one invocation; ``timeout`` in seconds."""
        self.function_name = name
        self.invoked_function_arn = arn
        self.aws_request_id = request_id
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = time.monotonic() + timeout

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the runtime ends this worker."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    """Be the parent; its children come back from ``_fork_workers`` with a connection each."""
    tolerate_lost_output()
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # what is loaded now stays: not looking at it again keeps its memory shared
    connection = _fork_workers(socket.socket(fileno=int(sys.argv[1])))
    if connection:
        _serve(connection)
    else:
        _end_workers()


def _fork_workers(runtime: socket.socket) -> socket.socket | None:
    """Fork at each connection. Return it in the child. Return None in the parent when the runtime has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that have ended leave nothing behind
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


def _end_workers() -> None:
    """Wait for the workers; end those that are stuck. However the runtime died, nothing of it stays behind."""
    deadline = time.monotonic() + _FAREWELL
    with contextlib.suppress(ChildProcessError):  # raised when no child is left
        while time.monotonic() < deadline:
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.02)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _serve(connection: socket.socket) -> None:
    """Be one execution environment: one function, one event at a time."""
    stream = connection.makefile("rwb")
    _send(stream, encode({"pid": os.getpid()}))
    if not (line := stream.readline()):
        return
    function = json.loads(line)
    os.environ.clear()
    os.environ.update(function["environment"])
    time.tzset()
    sys.path[0] = function["folder"]  # in place of the project's folder: as in Lambda, no function sees another
    sys.dont_write_bytecode = True  # Python takes two versions of a file within one second for the same
    try:
        module, attribute = function["handler"].rsplit(".", 1)
        handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    except Exception:  # noqa: BLE001 - whatever is wrong with the code: the developer wants to see it
        sys.stderr.write(f"{function['name']} cannot be imported:\n{traceback.format_exc()}")
        return
    _send(stream, encode({"ready": True}))
    for line in stream:
        _send(stream, _invoke(handler, function, json.loads(line)))


def _invoke(handler: Any, function: dict[str, Any], invocation: dict[str, Any]) -> bytes:
    """Call the function and return the answer. SystemExit is not caught: as in Lambda, it ends the environment."""
    context = LambdaContext(
        name=function["name"],
        arn=function["arn"],
        request_id=invocation["request_id"],
        timeout=invocation["timeout"],
    )
    try:
        answer = encode({"result": handler(invocation["event"], context)})
        if len(answer) > PAYLOAD_LIMIT:
            message = f"the response has {len(answer)} bytes; Lambda takes {PAYLOAD_LIMIT}"
            raise ValueError(message)  # noqa: TRY301 - one failure like the others
    except Exception as error:  # noqa: BLE001 - a function may raise anything
        traceback.print_exc()
        return encode({"error": str(error)})
    return answer


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as it travels, without the line's end."""
    return json.dumps(message, ensure_ascii=False).encode()


def _send(stream: BufferedRWPair, message: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # the runtime has gone: the next read says so
        stream.write(message + b"\n")
        stream.flush()


if __name__ == "__main__":
    main()

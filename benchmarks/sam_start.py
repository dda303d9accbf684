"""Cold starts in containers as in `sam local`, with the built layer and with the layer without bytecode.

In a container, SAM's emulator of Lambda starts Python when the first event arrives. The time until the response
contains Python's start, Lambda's runtime client, the imports and the request. It does not contain SAM CLI and the start
of the container, which take longer.

SAM copies the layer into an image. Here the layer is a read-only mount, because Lambda's disk is read-only too, so that
Python cannot store bytecode.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from benchmarks.cold_start import REQUIRED_LIBRARIES, aim, minimal_folder
from benchmarks.first_requests import FirstRequests
from benchmarks.measure import Figure, Round, compare, run_in_turns
from benchmarks.service import PROJECT, SETTINGS, environment_of, fresh_service
from tests.support.databases import start_fresh_environment
from tests.support.processes import wait_until
from tests.support.sam import IMAGE, build_project, missing_for_containers
from tools.uv_path import uv_path

_FUNCTIONS: Final = ("authorizer", "get_user", "login", "refresh")
_EMULATOR: Final = "/var/rapid/aws-lambda-rie"
_INVOCATIONS: Final = "/2015-03-31/functions/function/invocations"
#: Seconds to wait for a response.
_TIMEOUT: Final = 60


def measure_containers(*, rounds: int, functions: Sequence[str] = _FUNCTIONS) -> list[Figure]:
    """Compare each function with a minimal handler, and with itself without the layer's bytecode."""
    if reason := _missing():
        print(f"Containers are left out: {reason}", file=sys.stderr)
        return []
    built = build_project()
    layer = built / "CommonLayerX86"
    emulator = _emulator()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        bare_layer = shutil.copytree(layer, Path(folder, "layer"), ignore=shutil.ignore_patterns("__pycache__"))
        for function in functions:
            # Each function has a new service, because the access tokens of its users expire after 15 minutes.
            with fresh_service(**SETTINGS) as data_dir:
                starts = _ContainerStarts(FirstRequests(), data_dir, emulator)
                task = built / environment_of(function, data_dir)["AWS_LAMBDA_FUNCTION_NAME"]
                subjects = {
                    "function": starts.round_of(function, task, layer),
                    "minimal": starts.round_of(function, minimal_folder(function), layer),
                    "without bytecode": starts.round_of(function, task, bare_layer),
                }
                times = run_in_turns(subjects, rounds=rounds)
            name = f"`{function}`"
            libraries = " + ".join(REQUIRED_LIBRARIES[function])
            figures += [
                compare(name, times["function"], libraries, times["minimal"], aim=aim(function)),
                compare(
                    f"{name}, layer without bytecode",
                    times["without bytecode"],
                    "itself, with bytecode",
                    times["function"],
                ),
            ]
    return figures


def _missing() -> str:
    """Return the reason why containers cannot be measured, or "" if they can. Install what is missing."""
    if reason := missing_for_containers(pulls=True):
        return reason
    has_image = not missing_for_containers(pulls=False)
    if not has_image and subprocess.run(["docker", "pull", "--quiet", IMAGE], check=False).returncode:
        return f"Docker could not pull {IMAGE}"
    # `make build` needs Python 3.13. This target lets uv install it.
    python = subprocess.run(["make", "--silent", "python-313"], cwd=PROJECT, stdout=sys.stderr, check=False)
    return "needs a Python 3.13 for the build" if python.returncode else ""


def _emulator() -> str:
    """Return the path of SAM CLI's emulator of Lambda, in the environment that `make build` has created."""
    script = str(PROJECT / "tools" / "template" / "sam_local.py")
    python = _output(uv_path(), "python", "find", "--script", script)
    return _output(python, "-c", "import samcli; print(samcli.__path__[0])") + "/local/rapid/aws-lambda-rie-x86_64"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class _ContainerStarts:
    """Starts containers that share a database."""

    requests: FirstRequests
    data_dir: Path
    emulator: str

    def round_of(self, function: str, task: Path, layer: Path) -> Round:
        """Return a round that starts a container with the code in ``task`` for an event of ``function``."""
        arguments = list(self._arguments(function, task, layer))

        def run() -> float:
            event = json.dumps(self.requests.request(function))
            # Close the database. If Docker runs in a virtual machine, its locks have no effect in this process.
            start_fresh_environment()
            with _running(arguments) as connection:
                start = time.perf_counter()
                response = _send(connection, "POST", _INVOCATIONS, event)
                seconds = time.perf_counter() - start
            # The emulator returns status 200 also if the function failed.
            if not _is_success(document := json.loads(response)):
                message = f"{function} failed in its container: {document}"
                raise RuntimeError(message)
            return seconds

        return run

    def _arguments(self, function: str, task: Path, layer: Path) -> Iterator[str]:
        variables = {
            **environment_of(function, Path("/mnt/data"), **SETTINGS),
            "LAMBDA_TASK_ROOT": "/var/task",
            # For the minimal handlers.
            "LIBRARIES": " ".join(REQUIRED_LIBRARIES[function]),
        }
        yield from (f"--env={name}={value}" for name, value in variables.items())
        yield f"--memory={variables['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']}m"
        yield f"--volume={task}:/var/task:ro"
        yield f"--volume={layer}:/opt:ro"
        yield f"--volume={self.emulator}:{_EMULATOR}:ro"
        yield f"--volume={self.data_dir}:/mnt/data"
        # Otherwise new files in the data folder would belong to another user, and the next request would fail.
        yield f"--user={os.getuid()}:{os.getgid()}"


@contextmanager
def _running(arguments: Sequence[str]) -> Iterator[HTTPConnection]:
    """Start a container, and yield a connection to its emulator, which has not started the function yet."""
    # With "--rm", Docker would remove the container at some later time.
    options = ("--detach", "--publish=127.0.0.1::8080", f"--entrypoint={_EMULATOR}")
    container = _output("docker", "run", *options, *arguments, IMAGE, "--log-level", "error")
    try:
        host, _, port = _output("docker", "port", container, "8080").partition(":")
        with closing(HTTPConnection(host, int(port), timeout=_TIMEOUT)) as connection:
            wait_until(lambda: _is_listening(connection))
            yield connection
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)


def _is_listening(connection: HTTPConnection) -> bool:
    """Return whether the emulator responds. The request has an unknown path, so that it starts no function."""
    try:
        _send(connection, "GET", "/")
    except (OSError, HTTPException):
        connection.close()
        return False
    return True


def _send(connection: HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
    connection.request(method, path, body)
    return connection.getresponse().read()


def _is_success(response: dict[str, Any]) -> bool:
    if "policyDocument" in response:
        return bool(response["policyDocument"]["Statement"][0]["Effect"] == "Allow")
    return "errorMessage" not in response and response.get("statusCode", 200) < 400  # noqa: PLR2004 - HTTP status

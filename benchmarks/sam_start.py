"""First answers in containers as `sam local` makes them, with the layer as built and without its bytecode.

Neither SAM CLI nor Docker's making of a container is in these figures: they take longer than what is measured. In a
container, SAM's emulator of Lambda starts Python when the first event arrives. So the time from that event to its
answer is a cold start's: Python, Lambda's runtime client, the imports, the request.

SAM copies the layer into an image; here it is mounted, and only for reading, as Lambda's disk is: Python can keep
nothing that it compiles.
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

from benchmarks.cold_start import INDISPENSABLE, aim, minimal_folder
from benchmarks.first_requests import FirstRequests
from benchmarks.measure import Figure, Round, compare, take_turns
from benchmarks.service import PROJECT, SETTINGS, environment_of, fresh_service
from tests.support.databases import start_fresh_environment
from tests.support.processes import wait_until
from tests.support.sam import IMAGE, build_project, missing_for_containers
from tools.uv_path import uv_path

_FUNCTIONS: Final = ("authorizer", "get_user", "login", "refresh")
_EMULATOR: Final = "/var/rapid/aws-lambda-rie"
_INVOCATIONS: Final = "/2015-03-31/functions/function/invocations"
#: Seconds that an answer may take.
_PATIENCE: Final = 60


def measure_containers(*, rounds: int, functions: Sequence[str] = _FUNCTIONS) -> list[Figure]:
    """Measure each function beside a minimal handler, and beside itself without the layer's bytecode."""
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
            # A service for each: its people's access tokens last for fifteen minutes.
            with fresh_service(**SETTINGS) as data_dir:
                starts = _Starts(FirstRequests(), data_dir, emulator)
                task = built / environment_of(function, data_dir)["AWS_LAMBDA_FUNCTION_NAME"]
                takers = {
                    "ours": starts.of(function, task, layer),
                    "minimal": starts.of(function, minimal_folder(function), layer),
                    "without": starts.of(function, task, bare_layer),
                }
                taken = take_turns(takers, rounds=rounds)
            ours, name = taken["ours"], f"`{function}`"
            libraries = " + ".join(INDISPENSABLE[function])
            figures += [
                compare(name, ours, libraries, taken["minimal"], aim=aim(function)),
                compare(f"{name}, layer without bytecode", taken["without"], "itself, with", ours),
            ]
    return figures


def _missing() -> str:
    """Return what is not here and cannot be got; empty where nothing is."""
    if reason := missing_for_containers(pulls=True):
        return reason
    has_image = not missing_for_containers(pulls=False)
    if not has_image and subprocess.run(["docker", "pull", "--quiet", IMAGE], check=False).returncode:
        return f"Docker could not get {IMAGE}"
    # Which `make build` calls, and uv gets where it is not.
    python = subprocess.run(["make", "--silent", "python-313"], cwd=PROJECT, stdout=sys.stderr, check=False)
    return "needs a Python 3.13 for the build" if python.returncode else ""


def _emulator() -> str:
    """Return where SAM CLI has its emulator of Lambda: in the environment that `make build` has made for it."""
    script = str(PROJECT / "tools" / "template" / "sam_local.py")
    python = _output(uv_path(), "python", "find", "--script", script)
    return _output(python, "-c", "import samcli; print(samcli.__path__[0])") + "/local/rapid/aws-lambda-rie-x86_64"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class _Starts:
    """Starts of containers that share a database."""

    requests: FirstRequests
    data_dir: Path
    emulator: str

    def of(self, function: str, task: Path, layer: Path) -> Round:
        """Return a round that starts a container with the code in ``task`` for an event of ``function``."""
        arguments = list(self._arguments(function, task, layer))

        def run() -> float:
            event = json.dumps(self.requests.request(function))
            # Closes the database: where Docker has a virtual machine, its locks do not reach us.
            start_fresh_environment()
            with _running(arguments) as connection:
                begun = time.perf_counter()
                answer = _ask(connection, "POST", _INVOCATIONS, event)
                seconds = time.perf_counter() - begun
            # The emulator reports a function's failure with status 200, too.
            if not _is_success(document := json.loads(answer)):
                message = f"{function} has answered in its container: {document}"
                raise RuntimeError(message)
            return seconds

        return run

    def _arguments(self, function: str, task: Path, layer: Path) -> Iterator[str]:
        variables = {
            **environment_of(function, Path("/mnt/data"), **SETTINGS),
            "LAMBDA_TASK_ROOT": "/var/task",
            # The minimal handlers read it.
            "LIBRARIES": " ".join(INDISPENSABLE[function]),
        }
        yield from (f"--env={name}={value}" for name, value in variables.items())
        yield f"--memory={variables['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']}m"
        yield f"--volume={task}:/var/task:ro"
        yield f"--volume={layer}:/opt:ro"
        yield f"--volume={self.emulator}:{_EMULATOR}:ro"
        yield f"--volume={self.data_dir}:/mnt/data"
        # Or the next request could not be prepared: what is new in that folder would be another user's.
        yield f"--user={os.getuid()}:{os.getgid()}"


@contextmanager
def _running(arguments: Sequence[str]) -> Iterator[HTTPConnection]:
    """Run a container while the block runs, and yield a connection to its emulator, which has started nothing yet."""
    # Not "--rm": the engine would remove it in its own time, and ours would not wait for that.
    options = ("--detach", "--publish=127.0.0.1::8080", f"--entrypoint={_EMULATOR}")
    container = _output("docker", "run", *options, *arguments, IMAGE, "--log-level", "error")
    try:
        host, _, port = _output("docker", "port", container, "8080").partition(":")
        with closing(HTTPConnection(host, int(port), timeout=_PATIENCE)) as connection:
            wait_until(lambda: _listens(connection))
            yield connection
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)


def _listens(connection: HTTPConnection) -> bool:
    """Tell whether the emulator is there, by a path that it does not know."""
    try:
        _ask(connection, "GET", "/")
    except (OSError, HTTPException):
        connection.close()
        return False
    return True


def _ask(connection: HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
    connection.request(method, path, body)
    return connection.getresponse().read()


def _is_success(answer: dict[str, Any]) -> bool:
    if "policyDocument" in answer:
        return bool(answer["policyDocument"]["Statement"][0]["Effect"] == "Allow")
    return "errorMessage" not in answer and answer.get("statusCode", 200) < 400  # noqa: PLR2004 - HTTP's

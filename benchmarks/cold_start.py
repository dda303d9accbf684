"""The time from process start to the first response: each function, next to a handler with only its libraries.

The processes start as in Lambda, but with this machine's Python and the libraries' bytecode. The database is SQLite and
keys are files, so the figures include neither psycopg nor boto3.
"""

import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.first_requests import FirstRequests
from benchmarks.measure import Figure, Round, alternate
from benchmarks.report import Table
from benchmarks.service import PROJECT, SETTINGS, environment_of, fresh_service

_BASE: Final = ("fastapi", "mangum", "sqlalchemy", "aws_lambda_powertools")
#: The libraries that each function needs. Functions that only a deployment calls are not measured.
REQUIRED_LIBRARIES: Final = {
    "audit": _BASE,
    "authorizer": ("jwt", "cryptography"),
    "change_password": (*_BASE, "bcrypt", "zxcvbn_rs_py"),
    "cleanup": ("sqlalchemy", "aws_lambda_powertools"),
    "get_user": _BASE,
    "health": _BASE,
    "preflight": ("aws_lambda_powertools",),
    "jwks": ("fastapi", "mangum", "cryptography", "aws_lambda_powertools"),
    "login": (*_BASE, "bcrypt", "jwt", "cryptography"),
    "refresh": (*_BASE, "jwt", "cryptography"),
    "register": (*_BASE, "bcrypt", "email_validator", "zxcvbn_rs_py"),
    "reset_password": (*_BASE, "bcrypt", "email_validator", "zxcvbn_rs_py"),
    "revoke": (*_BASE, "jwt", "cryptography"),
    "secure_account": (*_BASE, "bcrypt", "email_validator"),
    "sessions": (*_BASE, "ua_parser", "ua_parser_builtins.lazy"),
    "step_up": (*_BASE, "bcrypt", "webauthn"),
    "token": (*_BASE, "jwt", "cryptography"),
    "verify_email": (*_BASE, "bcrypt", "email_validator", "jwt", "cryptography"),
    "webauthn": (*_BASE, "webauthn"),
    "well_known": ("fastapi", "mangum", "aws_lambda_powertools"),
}
_MINIMAL: Final = PROJECT / "benchmarks" / "minimal"
_IMPORTED: Final = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FirstResponse:
    """The first response of a new process, and facts about the process."""

    seconds: float
    response: Any
    #: Top-level names of the modules that were loaded at the first response.
    modules: frozenset[str]
    #: The peak of resident memory in bytes, until the first response and until the end.
    peaks: tuple[int, int]
    #: The status codes of later responses. None stands for a response without a status code.
    statuses: frozenset[int | None]
    #: Python's output on standard error until the first response.
    stderr: str


def first_response(
    folder: Path,
    event: dict[str, Any],
    environment: dict[str, str],
    *,
    then: Iterable[dict[str, Any]] = (),
    options: Sequence[str] = (),
) -> FirstResponse:
    """Start a process for ``folder/app.py``, and return its first response.

    Args:
        folder: the folder of the function.
        event: the event of the first call.
        environment: the environment variables of the process.
        then: the events of further calls.
        options: command-line options for Python.

    Raises:
        RuntimeError: the process ended without a response.

    """
    layer = (str(PROJECT / "layers" / "common"), sysconfig.get_path("purelib"))
    script = str(PROJECT / "benchmarks" / "new_process.py")
    command = [sys.executable, "-I", "-S", *options, script, str(folder), *layer]
    with tempfile.TemporaryFile() as request:
        request.writelines(json.dumps(each).encode() + b"\n" for each in (event, *then))
        request.seek(0)
        start = time.perf_counter()
        with subprocess.Popen(
            command, env=environment, stdin=request, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr
            lines = []
            while (line := process.stderr.readline()) not in {b"", b"responded\n"}:
                lines.append(line.decode())
            seconds = time.perf_counter() - start
            rest = process.stderr.read().decode()
    if process.returncode or not line:
        message = f"{folder.name} did not respond:\n{''.join(lines)}{rest}"
        raise RuntimeError(message)
    document = json.loads(rest.splitlines()[-1])
    return FirstResponse(
        seconds=seconds,
        response=document["response"],
        modules=frozenset(document["modules"]),
        peaks=tuple(document["peaks"]),
        statuses=frozenset(document["statuses"]),
        stderr="".join(lines),
    )


def measure_cold_starts(*, rounds: int) -> list[Figure]:
    """Measure the start of each function, and the start of two functions without the bytecode of the layer."""
    with fresh_service(**SETTINGS) as data_dir, tempfile.TemporaryDirectory() as nowhere:
        requests = FirstRequests()
        without_bytecode = ("-B", "-X", f"pycache_prefix={nowhere}")
        figures = [
            alternate(
                f"`{function}`",
                _start(function, requests, data_dir),
                " + ".join(libraries),
                _minimal_start(function, requests, data_dir),
                rounds=rounds,
                aim=aim(function),
            )
            for function, libraries in REQUIRED_LIBRARIES.items()
        ]
        return figures + [
            alternate(
                f"`{function}`, libraries without bytecode",
                _start(function, requests, data_dir, options=without_bytecode),
                "itself, with bytecode",
                _start(function, requests, data_dir),
                rounds=max(1, rounds // 4),
            )
            for function in ("authorizer", "get_user")
        ]


def aim(function: str) -> float:
    """Return the maximum for the ratio of a function's start to that of its minimal handler."""
    return 1.2 if function == "authorizer" else 1.15


def _start(function: str, requests: FirstRequests, data_dir: Path, *, options: Sequence[str] = ()) -> Round:
    environment = environment_of(function, data_dir, **SETTINGS)

    def run() -> float:
        first = first_response(
            PROJECT / "functions" / function, requests.request(function), environment, options=options
        )
        return first.seconds

    return run


def _minimal_start(function: str, requests: FirstRequests, data_dir: Path) -> Round:
    return lambda: minimal_response(function, requests, data_dir).seconds


def minimal_response(function: str, requests: FirstRequests, data_dir: Path) -> FirstResponse:
    """Return the first response of a handler with only the libraries of ``function``."""
    environment = {**environment_of(function, data_dir), "LIBRARIES": " ".join(REQUIRED_LIBRARIES[function])}
    return first_response(minimal_folder(function), requests.request(function), environment)


def minimal_folder(function: str) -> Path:
    """Return the folder of the minimal handler, which imports only the modules in the variable LIBRARIES."""
    return _MINIMAL / {"authorizer": "authorizer", "cleanup": "schedule", "preflight": "preflight"}.get(
        function, "endpoint"
    )


def measure_imports(*, rounds: int) -> Table:
    """Return the import times of each function until its first response: milliseconds by package, fastest round."""
    rows = []
    with fresh_service(**SETTINGS) as data_dir:
        requests = FirstRequests()
        for function in REQUIRED_LIBRARIES:
            environment = environment_of(function, data_dir, **SETTINGS)
            folder = PROJECT / "functions" / function
            runs = [
                _import_times(
                    first_response(folder, requests.request(function), environment, options=("-X", "importtime")).stderr
                )
                for _ in range(rounds + 1)
            ]
            times = min(runs[1:], key=lambda run: sum(run.values()))
            largest = sorted(times, key=lambda package: -times[package])[:8]
            shares = ", ".join(f"{package} {times[package]:.0f}" for package in largest)
            rows.append((f"`{function}`", f"{sum(times.values()):.0f}", shares))
    return Table(("Function", "ms", "of which"), tuple(rows))


def _import_times(stderr: str) -> dict[str, float]:
    """Return the milliseconds for each top-level package, without the packages that it imports."""
    times: dict[str, float] = defaultdict(float)
    for microseconds, name in _IMPORTED.findall(stderr):
        package = "the standard library" if name in sys.stdlib_module_names else name
        times[package] += int(microseconds) / 1000
    return times

"""Process start to first answer: each function, next to a handler that imports only what it cannot do without.

The processes are started as Lambda starts them, but on this machine's Python and its libraries' bytecode. SQLite is the
database and keys are in files, so neither psycopg nor boto3 is in these figures.
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
#: What each function cannot do without. Those of a deployment are not here: nobody waits for them.
INDISPENSABLE: Final = {
    "audit": _BASE,
    "authorizer": ("jwt", "cryptography"),
    "change_password": (*_BASE, "bcrypt", "zxcvbn_rs_py"),
    "cleanup": ("sqlalchemy", "aws_lambda_powertools"),
    "get_user": _BASE,
    "health": _BASE,
    "jwks": ("fastapi", "mangum", "cryptography", "aws_lambda_powertools"),
    "login": (*_BASE, "bcrypt", "jwt", "cryptography"),
    "refresh": (*_BASE, "jwt", "cryptography"),
    "register": (*_BASE, "bcrypt", "email_validator", "zxcvbn_rs_py"),
    "sessions": (*_BASE, "ua_parser", "ua_parser_builtins.lazy"),
    "step_up": (*_BASE, "bcrypt", "webauthn"),
    "webauthn": (*_BASE, "webauthn"),
}
_MINIMAL: Final = PROJECT / "benchmarks" / "minimal"
_IMPORTED: Final = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What a new process has answered, and when."""

    seconds: float
    answer: Any
    #: Top-level names of what was loaded then.
    modules: frozenset[str]
    #: The most memory that was resident until then, and until the end: bytes.
    peaks: tuple[int, int]
    #: What it has answered later: status codes, ``None`` where an answer has none.
    statuses: frozenset[int | None]
    #: What Python has written, on request.
    stderr: str


def first_answer(
    folder: Path,
    event: dict[str, Any],
    environment: dict[str, str],
    *,
    then: Iterable[dict[str, Any]] = (),
    options: Sequence[str] = (),
) -> FirstAnswer:
    """Start a process for ``folder/app.py``, and return its first answer.

    Args:
        folder: the function's.
        event: what it is called with.
        environment: its variables.
        then: what it is called with afterwards.
        options: Python's own.

    """
    layer = (str(PROJECT / "layers" / "common"), sysconfig.get_path("purelib"))
    script = str(PROJECT / "benchmarks" / "new_process.py")
    command = [sys.executable, "-I", "-S", *options, script, str(folder), *layer]
    with tempfile.TemporaryFile() as request:
        request.writelines(json.dumps(each).encode() + b"\n" for each in (event, *then))
        request.seek(0)
        begun = time.perf_counter()
        with subprocess.Popen(
            command, env=environment, stdin=request, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr
            lines = []
            while (line := process.stderr.readline()) not in {b"", b"answered\n"}:
                lines.append(line.decode())
            seconds = time.perf_counter() - begun
            rest = process.stderr.read().decode()
    if process.returncode or not line:
        message = f"{folder.name} did not answer:\n{''.join(lines)}{rest}"
        raise RuntimeError(message)
    document = json.loads(rest.splitlines()[-1])
    return FirstAnswer(
        seconds=seconds,
        answer=document["answer"],
        modules=frozenset(document["modules"]),
        peaks=tuple(document["peaks"]),
        statuses=frozenset(document["statuses"]),
        stderr="".join(lines),
    )


def measure_cold_starts(*, rounds: int) -> list[Figure]:
    """Measure each function's start, and two starts without the bytecode that the layer ships."""
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
            for function, libraries in INDISPENSABLE.items()
        ]
        return figures + [
            alternate(
                f"`{function}`, libraries without bytecode",
                _start(function, requests, data_dir, options=without_bytecode),
                "itself, with",
                _start(function, requests, data_dir),
                rounds=max(1, rounds // 4),
            )
            for function in ("authorizer", "get_user")
        ]


def aim(function: str) -> float:
    """Return what the ratio of a function's start to its minimal one should be at most."""
    return 1.2 if function == "authorizer" else 1.15


def _start(function: str, requests: FirstRequests, data_dir: Path, *, options: Sequence[str] = ()) -> Round:
    environment = environment_of(function, data_dir, **SETTINGS)

    def run() -> float:
        first = first_answer(PROJECT / "functions" / function, requests.request(function), environment, options=options)
        return first.seconds

    return run


def _minimal_start(function: str, requests: FirstRequests, data_dir: Path) -> Round:
    return lambda: minimal_answer(function, requests, data_dir).seconds


def minimal_answer(function: str, requests: FirstRequests, data_dir: Path) -> FirstAnswer:
    """Return the first answer of a handler that has only what ``function`` cannot do without."""
    environment = {**environment_of(function, data_dir), "LIBRARIES": " ".join(INDISPENSABLE[function])}
    return first_answer(minimal_folder(function), requests.request(function), environment)


def minimal_folder(function: str) -> Path:
    """Return the folder of the handler that imports what the variable LIBRARIES names, and nothing of ours."""
    return _MINIMAL / {"authorizer": "authorizer", "cleanup": "schedule"}.get(function, "endpoint")


def measure_imports(*, rounds: int) -> Table:
    """Tell what each function imports until its first answer, in milliseconds, by package, in the fastest round."""
    rows = []
    with fresh_service(**SETTINGS) as data_dir:
        requests = FirstRequests()
        for function in INDISPENSABLE:
            environment = environment_of(function, data_dir, **SETTINGS)
            folder = PROJECT / "functions" / function
            runs = [
                _import_times(
                    first_answer(folder, requests.request(function), environment, options=("-X", "importtime")).stderr
                )
                for _ in range(rounds + 1)
            ]
            times = min(runs[1:], key=lambda run: sum(run.values()))
            largest = sorted(times, key=lambda package: -times[package])[:8]
            shares = ", ".join(f"{package} {times[package]:.0f}" for package in largest)
            rows.append((f"`{function}`", f"{sum(times.values()):.0f}", shares))
    return Table(("Function", "ms", "of which"), tuple(rows))


def _import_times(stderr: str) -> dict[str, float]:
    """Return the milliseconds that each top-level package takes by itself."""
    times: dict[str, float] = defaultdict(float)
    for microseconds, name in _IMPORTED.findall(stderr):
        package = "the standard library" if name in sys.stdlib_module_names else name
        times[package] += int(microseconds) / 1000
    return times

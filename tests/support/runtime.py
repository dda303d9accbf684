"""Run the local runtime, and other commands, in processes of their own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from auth_common.settings import Settings
from tests.support.processes import TIMEOUT_SECONDS, wait_until

PROJECT = Path(__file__).parents[2]

_READY = re.compile(r"Serving \S+ on (http://localhost:\d+)")


@dataclass(frozen=True)
class Runtime:
    """A local runtime that is serving."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """The output of the runtime and of its functions so far."""
        return self.log_file.read_text(errors="replace")


@contextmanager
def running_service(data_dir: Path, **env: str) -> Iterator[str]:
    """Serve this project on a free port and yield the base URL. ``env`` is described at ``running_runtime``."""
    with running_runtime(data_dir, env=env) as runtime:
        yield runtime.url


@contextmanager
def running_runtime(
    data_dir: Path, *, project: Path = PROJECT, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Runtime]:
    """Serve ``project``'s template.yaml on a free port, with the output in ``data_dir / "runtime.log"``.

    Args:
        data_dir: The folder of the database and the keys. Created if it is missing.
        project: The folder with template.yaml.
        env: Additional environment variables. The settings of the developer's shell are not inherited, and BCRYPT_COST
            is 4 by default.

    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data_dir / "runtime.log"
    with log.open("ab") as output:
        start = output.tell()  # Skip the output of earlier runs with the same folder.
        with start_runtime(project, output, env={"DATA_DIR": str(data_dir), **env}) as process:
            try:
                wait_until(lambda: process.poll() is not None or _READY.search(log.read_text(errors="replace"), start))
                announced = _READY.search(log.read_text(errors="replace"), start)
                assert announced, f"the local runtime did not start:\n{log.read_text(errors='replace')}"
                yield Runtime(announced[1], process, log)
            finally:
                process.send_signal(signal.SIGTERM)  # Does nothing if the process has ended.


def start_runtime(project: Path, output: IO[bytes], *, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``python -m local_runtime`` in ``project``, on a free port unless ``env`` contains ``PORT``."""
    environment = {**environment_without_settings(), "PYTHONPATH": str(PROJECT), "PORT": "0", "BCRYPT_COST": "4", **env}
    return subprocess.Popen(
        [sys.executable, "-m", "local_runtime"], cwd=project, env=environment, stdout=output, stderr=output
    )


def environment_without_settings() -> dict[str, str]:
    """Return this process's environment variables without those that are settings of the service."""
    return {name: value for name, value in os.environ.items() if name.lower() not in Settings.__dataclass_fields__}


def failed_start(project: Path = PROJECT, *, env: Mapping[str, str]) -> tuple[int, str]:
    """Start a runtime whose start must fail, and return its exit status and its output."""
    with tempfile.TemporaryFile() as output:
        with start_runtime(project, output, env=env) as process:
            status = process.wait(TIMEOUT_SECONDS)
        output.seek(0)
        return status, output.read().decode(errors="replace")


def run_project_command(command: str, *, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command of the project, such as ``audit verify``, with this process's environment variables."""
    name, *arguments = command.split()
    executable = Path(sys.executable).with_name(name)
    return subprocess.run(
        [executable, *arguments], cwd=PROJECT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


@contextmanager
def closed_pipe() -> Iterator[int]:
    """Yield the descriptor of a pipe whose reader has closed it, as in ``command | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def run_command(
    *command: str | Path, cwd: Path = PROJECT, text: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, and return its exit status and its output.

    Args:
        command: The program and its arguments.
        cwd: The working directory.
        text: The standard input.
        env: All environment variables of the command. Without ``env`` it inherits those of this process.

    """
    return subprocess.run(command, cwd=cwd, env=env, input=text, capture_output=True, text=True, check=False)

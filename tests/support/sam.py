"""Run `sam local start-api` in its own process, and inspect its Docker containers."""

import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx

from auth_common.file_lock import exclusive_lock
from tests.support.processes import free_port, wait_until
from tests.support.requirements import require
from tests.support.runtime import PROJECT, environment_without_settings
from tools.uv_path import uv_path

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
#: The version of SAM CLI that the launcher (tools/template/sam_local.py) pins, for a SAM CLI without the launcher.
SAM_CLI = re.search(r"aws-sam-cli==[\d.]+", (PROJECT / "tools" / "template" / "sam_local.py").read_text())[0]  # type: ignore[index]
_ARGUMENTS = os.environ.get("SAM_LOCAL_ARGS", "")


@dataclass(frozen=True)
class Sam:
    """A running SAM CLI: the base URL, and the Docker volume with the data."""

    url: str
    volume: str


def require_docker() -> None:
    """Skip the test (in CI: fail it) unless a Docker engine has Lambda's image or may pull the image."""
    reason = missing_for_containers(pulls="--skip-pull-image" not in _ARGUMENTS)
    require(not reason, reason)


def missing_for_containers(*, pulls: bool) -> str:
    """Return what is missing to run a container of Lambda's image. Return an empty text if nothing is missing.

    Args:
        pulls: Whether SAM CLI pulls the image itself, so that only the Docker engine is required.

    """
    if shutil.which("docker") is None:
        return "needs Docker"
    if _docker("info").returncode:
        return "needs a running Docker engine"
    return "" if pulls or _docker("image", "inspect", IMAGE).returncode == 0 else f"needs the image {IMAGE}"


@lru_cache
def build_project() -> Path:
    """Run `make build` once for all workers of pytest-xdist, and return the folder with the results."""
    folder = PROJECT / ".aws-sam"
    folder.mkdir(exist_ok=True)
    builder = folder / "built-by-test-run"
    this_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    # Concurrent builds in one folder fail.
    with exclusive_lock(folder / "test-run.lock"):
        if not builder.exists() or builder.read_text() != this_run:
            result = subprocess.run(["make", "build"], cwd=PROJECT, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr
            builder.write_text(this_run)
    return folder / "build"


@contextmanager
def running_sam(log_file: Path) -> Iterator[Sam]:
    """Serve the project as `make sam` does, on a free port and a new Docker volume, which is deleted afterwards.

    BCRYPT_COST is 4, as in the local runtime of the tests.
    """
    volume = f"secure-backend-test-{uuid.uuid4()}"
    build_project()
    try:
        with _start(["make", "serve-sam"], log_file, {"SAM_LOCAL_VOLUME": volume, "BCRYPT_COST": "4"}) as url:
            yield Sam(url, volume)
    finally:
        if left := containers_with(volume):
            _docker("rm", "--force", *left)
        _docker("volume", "rm", "--force", volume)


@contextmanager
def running_plain_sam(log_file: Path) -> Iterator[str]:
    """Serve the project with plain SAM CLI, without the launcher and its Docker volume."""
    build_project()
    command = [
        uv_path(),
        "tool",
        "run",
        "--from",
        SAM_CLI,
        "sam",
        "local",
        "start-api",
        "--warm-containers",
        "LAZY",
    ]
    try:
        with _start(command, log_file, {}) as url:
            yield url
    finally:
        # SAM CLI leaves some of its containers running when it stops. They have the code of a function mounted.
        for folder in (PROJECT / ".aws-sam" / "build").iterdir():
            if left := containers_with(str(folder)):
                _docker("rm", "--force", *left)


def count_users(volume: str) -> int:
    """Return the number of users in the database on ``volume``, read by a container that SAM has not started."""
    query = (
        "import sqlite3; print(*sqlite3.connect('/data/secure-backend.sqlite3').execute('SELECT count(*) FROM users'))"
    )
    mount = ["--volume", f"{volume}:/data", "--entrypoint", "/var/lang/bin/python3.13"]
    result = _docker("run", "--rm", *mount, IMAGE, "-c", query)
    assert result.returncode == 0, result.stderr
    return int(result.stdout.strip("(),\n"))


def containers_with(volume: str) -> list[str]:
    """Return the ids of the running containers that mount ``volume``, which is a volume's name or a folder's path."""
    return _docker("ps", "--quiet", "--filter", f"volume={volume}").stdout.split()


@contextmanager
def _start(command: list[str], log_file: Path, env: dict[str, str]) -> Iterator[str]:
    port = free_port()
    arguments = f"{_ARGUMENTS} --port {port}"
    # In SAM, variables of the shell override those of the template.
    environment = {**environment_without_settings(), "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", **env}
    command = [*command, f"SAM_LOCAL_ARGS={arguments}"] if command[0] == "make" else [*command, *arguments.split()]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as process,
        # One for all tries, because each new client loads the machine's certificates.
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
    ):
        try:
            wait_until(lambda: process.poll() is not None or _answers(client), seconds=240)
            assert process.poll() is None, f"SAM did not start:\n{log_file.read_text()}"
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # SAM sometimes waits for a container that has ended long ago.
                os.killpg(process.pid, signal.SIGKILL)


def _answers(client: httpx.Client) -> bool:
    """Return whether SAM responds. The request has no route, because SAM would start a container for a function."""
    try:
        client.get("/no-route")
    except httpx.TransportError:
        return False
    return True


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)

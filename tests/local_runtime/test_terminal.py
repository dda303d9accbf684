"""The terminal that ``make run`` was started in: its output may be lost, and it may be closed."""

import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.local_runtime.conftest import PROBE_PROJECT
from tests.support.processes import is_running, wait_until
from tests.support.runtime import PROJECT, start_runtime

pytestmark = pytest.mark.local_runtime

RUNTIME = shlex.join([sys.executable, "-m", "local_runtime"])
PERSON = {
    "name": "Ann",
    "email": "ann@example.com",
    "date_of_birth": "1980-04-14",
    "job_title": "Baker",
    "password": "seven purple kites over Lyon",
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def is_listening(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def reader_that_has_gone():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb")


def full_disk():
    return Path("/dev/full").open("wb")


@pytest.mark.parametrize("output", [reader_that_has_gone, full_disk])
def test_service_whose_output_is_lost_answers_as_before(tmp_path, output):
    """``make run | head``, or a ``tee`` that has died: what is stored must not be answered by an error."""
    port = free_port()
    with output() as lost, start_runtime(PROJECT, lost, env={"DATA_DIR": str(tmp_path), "PORT": str(port)}) as process:
        try:
            wait_until(lambda: is_listening(port))
            with httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
                assert client.post("/users", json=PERSON).status_code == 201
                assert client.post("/users", json=PERSON).status_code == 409
                login = {name: PERSON[name] for name in ("email", "password")}
                assert client.post("/login", json=login).status_code == 200
                assert client.post("/login", json={**login, "password": "wrong wrong wrong"}).status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_function_that_fails_while_output_is_lost_keeps_its_worker(tmp_path):
    port = free_port()
    environment = {"DATA_DIR": str(tmp_path), "PORT": str(port)}
    with reader_that_has_gone() as lost, start_runtime(PROBE_PROJECT, lost, env=environment) as process:
        try:
            wait_until(lambda: is_listening(port))
            with httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
                first = client.get("/crashing/not").json()["pid"]
                assert client.get("/crashing/raise").status_code == 502
                assert client.get("/crashing/not").json()["pid"] == first
        finally:
            process.send_signal(signal.SIGTERM)


def test_service_without_output_starts(tmp_path):
    """``>&-``: no socket may get the number of standard output."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DATA_DIR": str(tmp_path), "PORT": str(port)}
    command = ["bash", "-c", f"exec {RUNTIME} <&- >&- 2>&-"]
    with subprocess.Popen(command, cwd=PROBE_PROJECT, env=environment) as process:
        try:
            wait_until(lambda: is_listening(port))
            assert httpx.get(f"http://localhost:{port}/crashing/not", timeout=60).status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@contextmanager
def in_terminal(tmp_path, script):
    """Run a shell's script in a terminal of its own, with a service on a free port.

    Yield the port, the shell's process id and the terminal, once the service answers.
    """
    port = free_port()
    shell, terminal = pty.fork()
    if shell == 0:
        os.chdir(PROBE_PROJECT)
        os.environ.update(PYTHONPATH=str(PROJECT), DATA_DIR=str(tmp_path), PORT=str(port))
        os.execvp("bash", ["bash", "-c", script])
    try:
        wait_until(lambda: is_listening(port))
        yield port, shell, terminal
    finally:
        with suppress(ProcessLookupError):
            os.kill(shell, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(shell, 0)
        with suppress(OSError):
            os.close(terminal)


def worker_and_parent(port):
    seen = httpx.get(f"http://localhost:{port}/echo/a/b", timeout=60).json()
    return seen["pid"], seen["parent"]


# make waits for its children at SIGHUP, as this shell does, and leaves the signal to them.
LIKE_MAKE = f"trap : HUP; {RUNTIME}; true"


def test_closed_terminal_ends_service_and_workers(tmp_path):
    with in_terminal(tmp_path, LIKE_MAKE) as (port, _, terminal):
        processes = worker_and_parent(port)
        os.close(terminal)
        wait_until(lambda: not is_listening(port))
        wait_until(lambda: not any(map(is_running, processes)))


@pytest.mark.parametrize(
    "script",
    [
        LIKE_MAKE,
        # A shell below the terminal's first one: the kernel sends no signal when it dies.
        f"set -m; bash -c {shlex.quote(f'echo $$ >$DATA_DIR/shell; {RUNTIME}; true')} & wait; sleep 600",
    ],
    ids=["first", "second"],
)
def test_killed_shell_ends_service_and_workers(tmp_path, script):
    with in_terminal(tmp_path, script) as (port, shell, _):
        processes = worker_and_parent(port)
        second = tmp_path / "shell"
        os.kill(int(second.read_text()) if second.exists() else shell, signal.SIGKILL)
        wait_until(lambda: not is_listening(port))
        wait_until(lambda: not any(map(is_running, processes)))


def test_hangup_signal_ends_service(tmp_path):
    with (
        (tmp_path / "log").open("wb") as log,
        start_runtime(PROBE_PROJECT, log, env={"DATA_DIR": str(tmp_path)}) as process,
    ):
        wait_until(lambda: "Serving " in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0


def test_nohup_service_outlives_its_terminal(tmp_path):
    script = f"trap '' HUP; {RUNTIME} & echo $! >$DATA_DIR/service; wait"
    with in_terminal(tmp_path, script) as (port, _, terminal):
        service = int((tmp_path / "service").read_text())
        try:
            os.close(terminal)
            os.kill(service, signal.SIGHUP)
            # Its first call takes longer than a service needs to notice that its terminal is closed.
            httpx.get(f"http://localhost:{port}/slow", timeout=60)
            assert httpx.get(f"http://localhost:{port}/crashing/not", timeout=60).status_code == 200
        finally:
            os.kill(service, signal.SIGTERM)
        wait_until(lambda: not is_running(service))

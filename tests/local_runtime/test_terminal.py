"""The terminal of ``make run``: output that cannot be written, and a terminal that is closed."""

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
from tests.support.processes import free_port, is_running, wait_until
from tests.support.runtime import PROJECT, closed_pipe, start_runtime

pytestmark = pytest.mark.local_runtime

RUNTIME = shlex.join([sys.executable, "-m", "local_runtime"])


def is_listening(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def closed_reader():
    with closed_pipe() as pipe, os.fdopen(os.dup(pipe), "wb") as output:
        yield output


def full_disk():
    return Path("/dev/full").open("wb")


@pytest.mark.parametrize(
    ("output", "end"), [(closed_reader, signal.SIGTERM), (full_disk, signal.SIGHUP)], ids=["reader", "disk"]
)
def test_service_whose_output_is_lost_responds_and_stops(tmp_path, output, end):
    """As in ``make run | head``. A request that is committed must not get an error as its response."""
    port = free_port()
    env = {"DATA_DIR": str(tmp_path), "PORT": str(port)}
    with output() as lost, start_runtime(PROBE_PROJECT, lost, env=env) as process:
        try:
            wait_until(lambda: is_listening(port))
            with httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
                first = client.get("/crashing/not").json()["pid"]
                assert client.get("/crashing/raise").status_code == 502
                assert client.get("/crashing/not").json()["pid"] == first
                assert client.get("/echo/a/b").status_code == 200
        finally:
            process.send_signal(end)
        assert process.wait(60) == 0


def test_service_whose_reader_has_stopped_responds(tmp_path):
    """As in ``make run | less``. The pipe is full after 64 KiB, and each request writes lines."""
    port = free_port()
    reader, writer = os.pipe()
    environment = {"DATA_DIR": str(tmp_path), "PORT": str(port)}
    with os.fdopen(writer, "wb") as output, start_runtime(PROBE_PROJECT, output, env=environment) as process:
        try:
            wait_until(lambda: is_listening(port))
            with httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
                for _ in range(1_500):
                    assert client.get("/crashing/not").status_code == 200
                assert client.get("/crashing/raise").status_code == 502
                assert client.get("/crashing/not").status_code == 200
                before = os.read(reader, 1_000_000)
                assert client.get("/crashing/not").status_code == 200
                after = b""
                while b" 200, " not in after:  # The access line is written after the response.
                    after += os.read(reader, 1_000_000)
        finally:
            os.close(reader)
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    lines = before.decode().splitlines()
    assert "Serving " in before.decode()
    # Only whole lines are dropped, except the last one before the pipe was full.
    access = [line for line in lines[:-1] if line.startswith("GET /crashing/{how} 200")]
    assert len(access) > 100


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot open a pipe again")
def test_service_does_not_change_the_pipe_of_its_script(tmp_path):
    """As in a script with ``make run &`` and piped output. Other commands of the script must not lose output."""
    port = free_port()
    reader, writer = os.pipe()
    environment = {"DATA_DIR": str(tmp_path), "PORT": str(port)}
    with os.fdopen(writer, "wb") as output, start_runtime(PROBE_PROJECT, output, env=environment) as process:
        try:
            wait_until(lambda: is_listening(port))
            assert httpx.get(f"http://localhost:{port}/crashing/not", timeout=60).status_code == 200
            assert os.get_blocking(writer)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with os.fdopen(reader, "rb") as log:
        assert b"GET /crashing/{how} 200" in log.read()


def test_service_without_output_starts(tmp_path):
    """As with ``>&-``. A socket must not get the descriptor of standard output."""
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
    """Run a shell script that starts a service on a free port, in a new terminal.

    Yield the port, the shell's process id and the terminal's descriptor when the service listens.
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


# At SIGHUP, this shell waits for its children and does not forward the signal, as make does.
LIKE_MAKE = f"trap : HUP; {RUNTIME}; true"


def test_closed_terminal_stops_service_and_workers(tmp_path):
    with in_terminal(tmp_path, LIKE_MAKE) as (port, _, terminal):
        processes = worker_and_parent(port)
        os.close(terminal)
        wait_until(lambda: not is_listening(port))
        wait_until(lambda: not any(map(is_running, processes)))


def test_killed_inner_shell_stops_service_and_workers(tmp_path):
    """The kernel sends no signal when this shell ends, because it is not the terminal's first process."""
    script = f"set -m; bash -c {shlex.quote(f'echo $$ >$DATA_DIR/shell; {RUNTIME}; true')} & wait; sleep 600"
    with in_terminal(tmp_path, script) as (port, _, _):
        processes = worker_and_parent(port)
        os.kill(int((tmp_path / "shell").read_text()), signal.SIGKILL)
        wait_until(lambda: not is_listening(port))
        wait_until(lambda: not any(map(is_running, processes)))


def test_nohup_service_outlives_its_terminal(tmp_path):
    script = f"trap '' HUP; {RUNTIME} & echo $! >$DATA_DIR/service; wait"
    with in_terminal(tmp_path, script) as (port, _, terminal):
        service = int((tmp_path / "service").read_text())
        try:
            os.close(terminal)
            os.kill(service, signal.SIGHUP)
            # This call takes longer than the interval between two checks of the terminal.
            httpx.get(f"http://localhost:{port}/slow", timeout=60)
            assert httpx.get(f"http://localhost:{port}/crashing/not", timeout=60).status_code == 200
        finally:
            os.kill(service, signal.SIGTERM)
        wait_until(lambda: not is_running(service))

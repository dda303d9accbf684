"""Wait for, inspect and kill other processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

import psutil

#: A timeout in seconds, far longer than any wait in a test takes on a busy machine.
TIMEOUT_SECONDS = 180


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float = TIMEOUT_SECONDS,
    pause: Callable[[], object] = lambda: time.sleep(0.02),
) -> None:
    """Wait until ``condition`` returns a true value. Fail after ``seconds``. ``pause`` is called between two tries."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} seconds"
        pause()


def free_port() -> int:
    """Return a port of localhost that is free, and that no other process gets from the kernel until it is used.

    The kernel chooses ports for connections and for servers with port 0 from 32768 on (Linux) or 49152 on (macOS).
    """
    while True:
        port = SystemRandom().randrange(20_000, 32_768)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


_WAIT = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def wait():
    (folder / f"ready-{sys.argv[2]}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
"""


def run_concurrently(code: str, *, number: int, folder: Path) -> list[str]:
    """Run ``code`` in ``number`` processes and return what each has printed.

    ``code`` calls ``wait()``, which returns in all processes at the same time, and may use the path ``folder``. The
    processes also write files to ``folder`` to find each other.
    """
    project = Path(__file__).parents[2]
    command = [sys.executable, "-c", _WAIT + code, str(folder)]
    processes = [
        subprocess.Popen([*command, str(index)], cwd=project, stdout=subprocess.PIPE, text=True)
        for index in range(number)
    ]
    while len(list(folder.glob("ready-*"))) < number:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (folder / "go").touch()
    printed = [process.communicate(timeout=TIMEOUT_SECONDS)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * number
    return printed


def is_running(pid: int) -> bool:
    """Return whether a process runs. A zombie does not run."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Return the ids of the child processes of a process, and of their child processes."""
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_process_tree(pid: int) -> None:
    """Kill a process and all its descendants with SIGKILL, as a power failure would."""
    for process in (pid, *descendants(pid)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

"""Waiting for other processes, with a deadline and never for a fixed time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

#: Seconds. Far more than anything here takes, even on a machine that is busy with something else.
PATIENCE = 60


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Return as soon as ``condition`` holds. Fail if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


_WAIT = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def wait():
    (folder / f"ready-{sys.argv[2]}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
"""


def run_together(code: str, *, number: int, folder: Path) -> list[str]:
    """Run ``code`` in so many processes and return what they have printed. Each goes on from ``wait()`` at one moment.

    ``code`` may use ``folder``, which also has the marks of this.
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
    printed = [process.communicate(timeout=PATIENCE)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * number
    return printed


def is_running(pid: int) -> bool:
    """Tell whether a process runs. One that has ended and that no process has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Return everything that a process has started, and what that has started."""
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(pid: int) -> None:
    """Kill a process and everything that it has started, as a machine that loses its power does."""
    for process in (pid, *descendants(pid)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

"""Waiting for other processes, with a deadline and never for a fixed time."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

#: Seconds. Far more than anything here takes, even on a machine that is busy with something else.
PATIENCE = 60


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Return as soon as ``condition`` holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process is there; one that has ended and that nothing has waited for is not."""
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

"""Waiting for other processes, with a deadline and never for a fixed time."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Seconds. Far more than anything here takes, even on a machine that is busy with something else.
PATIENCE = 60


def wait_until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Return as soon as ``condition`` holds; fail when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process is there; one that has ended and that nobody has waited for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:  # no /proc on macOS; or it has ended in this moment
        return not Path("/proc/self").exists()
    return state != "Z"


def descendants(pid: int) -> list[int]:
    """Return everything that a process has started, and what that has started."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}
    family = [pid]
    for parent in family:  # grows while it is read
        family += [child for child in parents if parents[child] == parent]
    return family[1:]


def kill_all(pid: int) -> None:
    """Kill a process and everything that it has started, as a machine that loses its power does."""
    for process in (pid, *descendants(pid)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

"""Waiting for other processes, with a deadline and never for a fixed time."""

import os
import time
from collections.abc import Callable
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

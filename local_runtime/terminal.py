"""The terminal: output that cannot be written, and a terminal that is closed."""

import asyncio
import io
import os
import signal
import sys
import termios
from typing import Any, Final

#: Seconds between two looks at the terminal. Few enough that the port is free when the developer starts again.
_INTERVAL: Final = 0.5


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written.

    Otherwise the reader of a pipe that has ended, or a full disk, would make a function fail after its commit.
    """

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        return size if written is None else written


def tolerate_lost_output() -> None:
    """Let no write to standard output or standard error fail from now on, whatever they are."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the shell (``>&-``): the next socket would get this number, and every log line.
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        buffer = io.BufferedWriter(_LossyFile(descriptor, "wb", closefd=False))
        # Line-buffered: a log line is seen when it is written.
        setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True))


def ignores_hangup() -> bool:
    """Tell whether the developer has asked for a service that outlives the terminal (``nohup``)."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def wait_for_hangup() -> None:
    """Return when the terminal of this process is closed, or the process that started it there has died.

    The kernel sends SIGHUP to the terminal's first process alone. That is ``make`` in ``ssh -t host make run``, and it
    waits for this process, which would keep the port.
    """
    terminals = [descriptor for descriptor in range(3) if os.isatty(descriptor)]
    if not terminals or ignores_hangup():
        await asyncio.Event().wait()  # forever: until the task is cancelled
    parent = os.getppid()
    while os.getppid() == parent and not any(map(_is_closed, terminals)):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_INTERVAL)


def _is_closed(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False

"""The terminal: output that cannot be written, and a terminal that is closed."""

import asyncio
import io
import os
import select
import signal
import stat
import sys
import termios
from typing import Any, Final

#: Seconds between two looks at the terminal. Few enough that the port is free when the developer starts again.
_INTERVAL: Final = 0.5


#: Milliseconds that a write waits for the reader of a full pipe.
_PATIENCE: Final = 1_000


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written.

    Otherwise the reader of a pipe that has ended, or a full disk, would make a function fail after its commit. A reader
    that has stopped reading, as in ``make run | less``, would block every request. If a pipe stays full for a second,
    lines are dropped until there is room again.
    """

    #: Whether the last line was dropped, and whether only its beginning was written.
    _is_full = False
    _is_cut = False

    def write(self, data: Any, /) -> int:
        """Write all of ``data``, or drop the rest. Return the size of ``data``."""
        rest = memoryview(data)
        size = rest.nbytes
        if self._is_cut:  # pragma: no cover - in processes whose reader has stopped
            rest = memoryview(b"\n" + bytes(rest))
        whole = rest.nbytes
        try:
            while rest.nbytes:
                written = super().write(rest)
                if written is None and (self._is_full or not self._has_room()):  # pragma: no cover - as above
                    break
                rest = rest[written or 0 :]
        except OSError:
            return size
        self._is_full = rest.nbytes > 0
        if rest.nbytes < whole:  # pragma: no branch - as above
            self._is_cut = self._is_full
        return size

    def _has_room(self) -> bool:  # pragma: no cover - as above
        """Wait for the reader, and tell whether it has read."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        return bool(poll.poll(_PATIENCE))


def tolerate_lost_output() -> None:
    """Let no write to standard output or standard error fail from now on, whatever they are."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the shell (``>&-``): the next socket would get this number, and every log line.
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _return_at_once(descriptor)
        buffer = io.BufferedWriter(_LossyFile(descriptor, "wb", closefd=False))
        # Line-buffered: a log line is seen when it is written.
        setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True))


def _return_at_once(pipe: int) -> None:
    """Make writes to a pipe return at once if it is full.

    The mode belongs to the open file, which a shell shares with every command of its script: they would lose output.
    So the pipe is opened again, where the system can do that (Linux) and the pipe still has a reader.
    """
    try:
        own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # pragma: no cover - in processes whose reader has gone
        os.set_blocking(pipe, False)
        return
    os.dup2(own, pipe)
    os.close(own)


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

"""Handle the terminal: drop output that cannot be written, and stop when the terminal is closed."""

import asyncio
import io
import os
import select
import signal
import stat
import sys
import termios
from typing import Any, Final

#: Seconds between two checks of the terminal. The port must be free before the developer starts the runtime again.
_CHECK_INTERVAL: Final = 0.5
#: Milliseconds that a write waits for the reader of a full pipe.
_WRITE_TIMEOUT: Final = 1_000


class _LossyFile(io.FileIO):
    """A file that drops output that cannot be written.

    Otherwise a closed pipe or a full disk would make a function fail after its commit. A reader that has stopped
    reading, as in ``make run | less``, would block every request. If a pipe stays full for a second, lines are dropped
    until the pipe has room again.
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
        """Wait until the pipe has room, at most ``_WRITE_TIMEOUT``. Return whether it has room."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        return bool(poll.poll(_WRITE_TIMEOUT))


def tolerate_lost_output() -> None:
    """Replace standard output and standard error by files that drop output instead of raising an exception."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The shell closed the descriptor (``>&-``). The next socket would get its number, and with it the log
            # lines.
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _make_non_blocking(descriptor)
        buffer = io.BufferedWriter(_LossyFile(descriptor, "wb", closefd=False))
        # With line buffering, a log line appears as soon as it is written.
        setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True))


def _make_non_blocking(pipe: int) -> None:
    """Make writes to a full pipe return at once.

    The non-blocking mode belongs to the open file, which a shell shares with all commands of its script. They would
    lose output. So the pipe is opened a second time, if the system can do that (Linux) and the pipe still has a reader.
    """
    try:
        own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # pragma: no cover - in processes whose reader has ended
        os.set_blocking(pipe, False)
        return
    os.dup2(own, pipe)
    os.close(own)


def ignores_hangup() -> bool:
    """Return whether this process ignores SIGHUP, so that it outlives its terminal (``nohup``)."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def wait_for_hangup() -> None:
    """Return when the terminal of this process is closed, or when the parent process has ended.

    The kernel sends SIGHUP only to the terminal's first process. In ``ssh -t host make run`` that process is ``make``,
    which waits for the runtime. Without this check the runtime would run on and keep the port.
    """
    terminals = [descriptor for descriptor in range(3) if os.isatty(descriptor)]
    if not terminals or ignores_hangup():
        await asyncio.Event().wait()  # forever: until the task is cancelled
    parent = os.getppid()
    while os.getppid() == parent and not any(map(_is_closed, terminals)):  # noqa: ASYNC110 - the system sends no event
        await asyncio.sleep(_CHECK_INTERVAL)


def _is_closed(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False

"""The port: listening on it, and saying who has it when it is taken."""

import contextlib
import errno
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

#: ``localhost`` is both, and clients differ in which they try first. Never another interface: this is not a server.
_LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_ANOTHER: Final = "PORT={} make run"
_LISTENING: Final = "0A"  # in /proc/net/tcp


class PortInUse(Exception):
    """Another process listens on the port. The text says which one and what to do."""


def listen(port: int, *, another: str = _ANOTHER) -> list[socket.socket]:
    """Return sockets that listen on ``localhost``, IPv4 and, where the machine has it, IPv6.

    Args:
        port: 0 for any free one.
        another: the command that the message names, with ``{}`` for another port.

    Raises:
        PortInUse: the port is taken.

    """
    sockets: list[socket.socket] = []
    for family, address in _LOOPBACK:
        try:
            sockets.append(socket.create_server((address, port), family=family, backlog=128))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                for open_socket in sockets:
                    open_socket.close()
                raise PortInUse(_explain(port, another)) from error
            if not sockets:
                raise
        else:
            port = sockets[0].getsockname()[1]
            # Connections inherit it. An answer goes out in two parts, and without it the second one waits 40 ms for the
            # client's word on the first. asyncio asks for it by itself, but not on a socket that others have made.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sockets


def _explain(port: int, another: str = _ANOTHER) -> str:
    owner = next(chain(_owners_by_proc(port), _owners_by_lsof(port)), None)
    lines = [f"Port {port} is in use by " + (f"process {owner[0]}: {owner[1]}" if owner else "another process.")]
    if owner:
        lines.append(f"Free it:         kill {owner[0]}")
    lines.append(f"Or use another:  {another.format(port + 1)}")
    return "\n".join(lines)


def _owners_by_proc(port: int) -> Iterator[tuple[int, str]]:
    """Yield process id and command of those who listen, as far as this user may know. Linux."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for fields in map(str.split, table.read_text().splitlines()[1:]):
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(str(descriptor.readlink()) in inodes for descriptor in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(process.name), command.strip()


def _owners_by_lsof(port: int) -> Iterator[tuple[int, str]]:
    """Yield the same from lsof, which macOS has."""
    lsof = shutil.which("lsof")
    if lsof is None:
        return
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - no input
    yield from ((int(process), name) for process, name in re.findall(r"^p(\d+)\nc(.*)$", output, re.MULTILINE))

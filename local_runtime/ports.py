"""Listen on a port, and name the process that uses the port if it is not free."""

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

#: ``localhost`` has both addresses, and each client tries one of them first. Other machines must not reach the runtime.
_LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
#: The state LISTEN in /proc/net/tcp.
_LISTENING: Final = "0A"


class PortInUse(Exception):
    """Another process listens on the port. The text names the process and the commands that help."""


def listen(port: int, *, command: str) -> list[socket.socket]:
    """Return sockets that listen on ``localhost``: one for IPv4 and, if the machine has IPv6, one for IPv6.

    Args:
        port: the port, or 0 for any free port.
        command: the command that uses another port, for the error message. ``{}`` stands for the port.

    Raises:
        PortInUse: another process listens on the port.

    """
    sockets: list[socket.socket] = []
    for family, address in _LOOPBACK:
        try:
            sockets.append(socket.create_server((address, port), family=family, backlog=128))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                for open_socket in sockets:
                    open_socket.close()
                raise PortInUse(_explanation(port, command)) from error
            if not sockets:
                raise
        else:
            port = sockets[0].getsockname()[1]
            # A response is sent in two parts. Without this option, which connections inherit, the second part waits 40
            # ms for the client's acknowledgement of the first. asyncio sets the option only on sockets that it creates.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sockets


def _explanation(port: int, command: str) -> str:
    owner = next(chain(_owners_by_proc(port), _owners_by_lsof(port)), None)
    lines = [f"Port {port} is in use by " + (f"process {owner[0]}: {owner[1]}" if owner else "another process.")]
    if owner:
        lines.append(f"Free it:         kill {owner[0]}")
    lines.append(f"Or use another:  {command.format(port + 1)}")
    return "\n".join(lines)


def _owners_by_proc(port: int) -> Iterator[tuple[int, str]]:
    """Yield the process id and command of each process that listens on ``port``, from Linux's /proc.

    Processes of other users are missing, because /proc hides them.
    """
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for fields in map(str.split, table.read_text().splitlines()[1:]):
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended, or belongs to another user
            if any(str(descriptor.readlink()) in inodes for descriptor in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(process.name), command.strip()


def _owners_by_lsof(port: int) -> Iterator[tuple[int, str]]:
    """Yield the process id and name of each process that listens on ``port``, from lsof, which macOS has."""
    lsof = shutil.which("lsof")
    if lsof is None:
        return
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - no input
    yield from ((int(process), name) for process, name in re.findall(r"^p(\d+)\nc(.*)$", output, re.MULTILINE))

"""Peers in the same harness: process start to the first answer, 'me' and a login in process, 'me' by HTTP.

Each is a process with an environment of its own, on the same machine in the same run, and all take turns. What is not
installed is (uv, npm); what cannot be is left out, and said to be.
"""

import filecmp
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from benchmarks.measure import Figure, Round, compare, take_turns
from benchmarks.service import PROJECT, environment_of
from tools.uv_path import uv_path

_HERE: Final = PROJECT / "benchmarks" / "quick_starts"
_OURS: Final = "ours"
_PYTHONS: Final = {
    "fastapi-users": "with_fastapi_users.py",
    "Flask-Security-Too": "with_flask_security.py",
    "Django + SimpleJWT": "with_django.py",
}
_LOCK: Final = "package-lock.json"
#: Seconds that a server may take to its first answer.
_PATIENCE: Final = 60
#: Requests that a round by HTTP makes.
_REQUESTS: Final = 200


@dataclass(frozen=True, slots=True)
class _Peer:
    """A service that is installed and has its person."""

    command: Sequence[str]
    #: Its working folder, with its database.
    folder: Path
    environment: Mapping[str, str]

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start a process of it."""
        with (self.folder / "errors.log").open("a") as errors:
            return subprocess.Popen(
                [*self.command, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=errors,
                text=True,
            )


def measure_peers(*, rounds: int) -> list[Figure]:
    """Install the peers, and measure them and ours by turns."""
    with ExitStack() as stack:
        peers = {name: _set_up(stack, command) for name, command in _installed().items()}
        starts = take_turns({name: _first_me(peer) for name, peer in peers.items()}, rounds=rounds)
        talks = {name: stack.enter_context(_conversation(peer)) for name, peer in peers.items()}

        def calls(command: str) -> dict[str, list[float]]:
            return take_turns({name: _asking(talk, command) for name, talk in talks.items()}, rounds=rounds)

        mine, logins, hashes = calls("me 100"), calls("log-in 20"), calls("check-hash 20")
        around = {name: [login - own for login, own in zip(logins[name], hashes[name], strict=True)] for name in peers}
        served = take_turns(
            {name: _requests(stack.enter_context(_server(peer)), peer) for name, peer in peers.items()}, rounds=rounds
        )
    kinds = [
        ("process start to the first 'me'", starts, "ms"),
        ("'me', in process", mine, "µs"),
        ("a login but for its hash, in process", around, "µs"),
        ("'me' by HTTP, one connection", served, "/s"),
    ]
    return [
        compare(kind, taken[_OURS], name, taken[name], aim=1, unit=unit)
        for kind, taken, unit in kinds
        for name in taken
        if name != _OURS
    ]


def _installed() -> dict[str, Sequence[str]]:
    """Install what is not, and return how each is run."""
    commands: dict[str, Sequence[str]] = {_OURS: (sys.executable, "-m", "benchmarks.quick_starts.ours")}
    for name, script in _PYTHONS.items():
        arguments = ["--script", str(_HERE / script)]
        subprocess.run([uv_path(), "sync", "--quiet", "--locked", "--python", sys.executable, *arguments], check=True)
        found = subprocess.run([uv_path(), "python", "find", *arguments], check=True, capture_output=True, text=True)
        commands[name] = (found.stdout.strip(), str(_HERE / script))
    if command := _better_auth():
        commands["Better Auth, Node.js"] = command
    return commands


def _better_auth() -> Sequence[str] | None:
    """Return how Better Auth is run; ``None`` where it cannot be installed: its driver of SQLite may be compiled."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        print("Better Auth is left out: there is no Node.js with npm", file=sys.stderr)
        return None
    # Where git and our tests do not look: what npm installs has pages and Python files of its own.
    folder = PROJECT / ".tools" / "better_auth"
    is_current = (folder / "node_modules").is_dir() and filecmp.cmp(_HERE / "better_auth" / _LOCK, folder / _LOCK)
    shutil.copytree(_HERE / "better_auth", folder, dirs_exist_ok=True)
    if not is_current:
        installed = subprocess.run([npm, "ci", "--silent"], cwd=folder, check=False, stdout=sys.stderr)
        if installed.returncode:
            print("Better Auth is left out: npm could not install it", file=sys.stderr)
            return None
    return (node, str(folder / "with_better_auth.js"))


def _set_up(stack: ExitStack, command: Sequence[str]) -> _Peer:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peer-")))
    # Ours has a function's variables; nobody else reads them.
    environment = {**environment_of("get_user", folder), "PYTHONPATH": str(PROJECT)}
    peer = _Peer(command, folder, environment)
    with peer.start("set-up") as process:
        process.communicate()
    if process.returncode:
        raise RuntimeError((folder / "errors.log").read_text())
    return peer


def _first_me(peer: _Peer) -> Round:
    def run() -> float:
        begun = time.perf_counter()
        with _conversation(peer):
            return time.perf_counter() - begun

    return run


@contextmanager
def _conversation(peer: _Peer) -> "Iterator[subprocess.Popen[str]]":
    """Have a process that answers commands, from its first answer on."""
    with peer.start("measure") as process:
        assert process.stdin
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError((peer.folder / "errors.log").read_text())
        try:
            yield process
        finally:
            process.stdin.close()


def _asking(process: "subprocess.Popen[str]", command: str) -> Round:
    assert process.stdin
    assert process.stdout
    commands, answers = process.stdin, process.stdout

    def run() -> float:
        print(command, file=commands, flush=True)
        return float(answers.readline())

    return run


@contextmanager
def _server(peer: _Peer) -> Iterator[int]:
    """Serve a peer while the block runs, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    with (peer.folder / "output.log").open("a") as output, peer.start("serve", str(port), stdout=output) as process:
        try:
            yield port
        finally:
            process.terminate()


def _connection(port: int) -> socket.socket:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _requests(port: int, peer: _Peer) -> Round:
    request = (peer.folder / "request.http").read_bytes()

    def run() -> float:
        with _connection(port) as connection:
            begun = time.perf_counter()
            for _ in range(_REQUESTS):
                connection.sendall(request)
                _read_answer(connection)
            return (time.perf_counter() - begun) / _REQUESTS

    return run


def _read_answer(connection: socket.socket) -> None:
    """Read one answer, which must be a success."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            message = "the server closed the connection"
            raise ConnectionError(message)
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    # Without a length it comes in chunks, of which an empty one is the last.
    while len(body) < int(lengths[0].partition(b":")[2]) if lengths else not body.endswith(b"\r\n0\r\n\r\n"):
        body += connection.recv(65536)

"""Compare the service with peers: other authentication libraries.

The figures are the time from process start to the first response, "me" and a login in the process, and "me" by HTTP.
"me" is an authenticated request for the caller's own data. Each peer runs in a process with an environment of its own,
and all peers take turns. uv and npm install the peers. A peer that cannot be installed is left out with a message.
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

from benchmarks.measure import Figure, Round, compare, run_in_turns
from benchmarks.service import PROJECT, environment_of
from tools.uv_path import uv_path

_QUICK_STARTS: Final = PROJECT / "benchmarks" / "quick_starts"
_OURS: Final = "ours"
_PYTHON_PEERS: Final = {
    "fastapi-users": "with_fastapi_users.py",
    "Flask-Security-Too": "with_flask_security.py",
    "Django + SimpleJWT": "with_django.py",
}
_BETTER_AUTH: Final = "Better Auth, Node.js"
#: The names of all peers.
PEERS: Final = (*_PYTHON_PEERS, _BETTER_AUTH)
#: The names of the figures.
FIRST_ME: Final = "process start to the first 'me'"
ME: Final = "'me', in process"
LOGIN_WITHOUT_HASH: Final = "a login without its hash, in process"
ME_BY_HTTP: Final = "'me' by HTTP, one connection"
_LOCK: Final = "package-lock.json"
#: Seconds to wait for the start of a server, and for a response.
_TIMEOUT: Final = 60
#: Requests in a round by HTTP.
_REQUESTS: Final = 200


@dataclass(frozen=True, slots=True)
class _Peer:
    """An installed service with one user."""

    command: Sequence[str]
    #: The working folder, with the database.
    folder: Path
    environment: Mapping[str, str]

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start a process of the service."""
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
    """Install the peers, and compare the service with each of them."""
    with ExitStack() as stack:
        peers = {name: _set_up(stack, command) for name, command in _installed().items()}
        starts = run_in_turns({name: _first_me(peer) for name, peer in peers.items()}, rounds=rounds)
        processes = {name: stack.enter_context(_measuring_process(peer)) for name, peer in peers.items()}

        def calls(command: str) -> dict[str, list[float]]:
            commands = {name: _command_round(process, command) for name, process in processes.items()}
            return run_in_turns(commands, rounds=rounds)

        me, logins, hashes = calls("me 100"), calls("log-in 20"), calls("check-hash 20")
        without_hash = {
            name: [login - check for login, check in zip(logins[name], hashes[name], strict=True)] for name in peers
        }
        served = run_in_turns(
            {name: _http_round(stack.enter_context(_server(peer)), peer) for name, peer in peers.items()}, rounds=rounds
        )
    kinds = [
        (FIRST_ME, starts, "ms"),
        (ME, me, "µs"),
        (LOGIN_WITHOUT_HASH, without_hash, "µs"),
        (ME_BY_HTTP, served, "/s"),
    ]
    return [
        compare(kind, times[_OURS], name, times[name], aim=1, unit=unit)
        for kind, times, unit in kinds
        for name in times
        if name != _OURS
    ]


def _installed() -> dict[str, Sequence[str]]:
    """Install the peers that are missing, and return the command of each."""
    commands: dict[str, Sequence[str]] = {_OURS: (sys.executable, "-m", "benchmarks.quick_starts.secure_backend")}
    for name, script in _PYTHON_PEERS.items():
        arguments = ["--script", str(_QUICK_STARTS / script)]
        subprocess.run([uv_path(), "sync", "--quiet", "--locked", "--python", sys.executable, *arguments], check=True)
        found = subprocess.run([uv_path(), "python", "find", *arguments], check=True, capture_output=True, text=True)
        commands[name] = (found.stdout.strip(), str(_QUICK_STARTS / script))
    if command := _better_auth():
        commands[_BETTER_AUTH] = command
    return commands


def _better_auth() -> Sequence[str] | None:
    """Return the command of Better Auth, or None if Better Auth or its SQLite driver cannot be installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        print("Better Auth is left out: there is no Node.js with npm", file=sys.stderr)
        return None
    # In a folder that git and the tests ignore, because npm's packages contain Markdown and Python files.
    folder = PROJECT / ".tools" / "better_auth"
    is_current = (folder / "node_modules").is_dir() and filecmp.cmp(
        _QUICK_STARTS / "better_auth" / _LOCK, folder / _LOCK
    )
    shutil.copytree(_QUICK_STARTS / "better_auth", folder, dirs_exist_ok=True)
    if not is_current:
        installed = subprocess.run([npm, "ci", "--silent"], cwd=folder, check=False, stdout=sys.stderr)
        if installed.returncode:
            print("Better Auth is left out: npm could not install it", file=sys.stderr)
            return None
    return (node, str(folder / "with_better_auth.js"))


def _set_up(stack: ExitStack, command: Sequence[str]) -> _Peer:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peer-")))
    # The variables of a function, which the other peers ignore.
    environment = {**environment_of("get_user", folder), "PYTHONPATH": str(PROJECT)}
    peer = _Peer(command, folder, environment)
    with peer.start("set-up") as process:
        process.communicate()
    if process.returncode:
        raise RuntimeError((folder / "errors.log").read_text())
    return peer


def _first_me(peer: _Peer) -> Round:
    def run() -> float:
        start = time.perf_counter()
        with _measuring_process(peer):
            return time.perf_counter() - start

    return run


@contextmanager
def _measuring_process(peer: _Peer) -> "Iterator[subprocess.Popen[str]]":
    """Start a process that accepts commands, and yield it after its first response to "me"."""
    with peer.start("measure") as process:
        assert process.stdin
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError((peer.folder / "errors.log").read_text())
        try:
            yield process
        finally:
            process.stdin.close()


def _command_round(process: "subprocess.Popen[str]", command: str) -> Round:
    assert process.stdin
    assert process.stdout
    commands, results = process.stdin, process.stdout

    def run() -> float:
        print(command, file=commands, flush=True)
        return float(results.readline())

    return run


@contextmanager
def _server(peer: _Peer) -> Iterator[int]:
    """Start the HTTP server of a peer, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with (peer.folder / "output.log").open("a") as output, peer.start("serve", str(port), stdout=output) as process:
        try:
            yield port
        finally:
            process.terminate()


def _connection(port: int) -> socket.socket:
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _http_round(port: int, peer: _Peer) -> Round:
    request = (peer.folder / "request.http").read_bytes()

    def run() -> float:
        with _connection(port) as connection:
            start = time.perf_counter()
            for _ in range(_REQUESTS):
                connection.sendall(request)
                _read_response(connection)
            return (time.perf_counter() - start) / _REQUESTS

    return run


def _read_response(connection: socket.socket) -> None:
    """Read one response, which must be a success."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            message = "the server closed the connection"
            raise ConnectionError(message)
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    # Without a length, the body is sent in chunks, and the last one is empty.
    while len(body) < int(lengths[0].partition(b":")[2]) if lengths else not body.endswith(b"\r\n0\r\n\r\n"):
        body += connection.recv(65536)

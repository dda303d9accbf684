"""The commands of a process with a peer. This module needs only the standard library.

- ``python with_….py set-up`` creates the database and one user in the working folder.
- ``python with_….py serve PORT`` serves HTTP with one worker.
- ``python with_….py measure`` makes one authenticated request, prints "ready", and reads commands from standard input.
  For the command "me 100" it makes a hundred calls and prints the seconds for each call.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

EMAIL = "person@example.com"
PASSWORD = "violet anchor seventeen drums"
#: log2 of bcrypt's rounds. The cost is low, so that the variation of the hash does not hide the rest of the login.
BCRYPT_COST = 4
OK = 200

_TOKEN = Path("token.txt")
#: A request for "me" as bytes on the connection.
_REQUEST = Path("request.http")


class Peer(Protocol):
    """A service in this process that is measured."""

    def set_up(self) -> str:
        """Create the tables and a user, log in, and return the access token."""

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request for the caller's own data ("me")."""

    def me(self, token: str) -> None:
        """Make the request for the caller's own data in this process."""

    def log_in(self) -> str:
        """Log the user in with the password, and return the access token."""

    def check_hash(self) -> None:
        """Only check the user's password against its hash."""

    def serve(self, port: int) -> None:
        """Serve HTTP with one worker until the process ends."""


def run_command(peer: Peer) -> None:
    """Run the command in the command line."""
    match sys.argv[1:]:
        case ["set-up"]:
            token = peer.set_up()
            _TOKEN.write_text(token)
            path, headers = peer.route(token)
            lines = [
                f"GET {path} HTTP/1.1",
                "Host: localhost",
                *(f"{name}: {value}" for name, value in headers.items()),
            ]
            _REQUEST.write_bytes("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        case ["serve", port]:
            peer.serve(int(port))
        case ["measure"]:
            _measure(peer, _TOKEN.read_text())


def _measure(peer: Peer, token: str) -> None:
    # The peer's own output goes to a file. Only results go to standard output.
    results = os.fdopen(os.dup(1), "w")
    with Path("output.log").open("ab") as output:
        os.dup2(output.fileno(), 1)
    peer.me(token)
    print("ready", file=results, flush=True)
    calls: dict[str, Any] = {"me": lambda: peer.me(token), "log-in": peer.log_in, "check-hash": peer.check_hash}
    for line in sys.stdin:
        name, times = line.split()
        start = time.perf_counter()
        for _ in range(int(times)):
            calls[name]()
        print((time.perf_counter() - start) / int(times), file=results, flush=True)

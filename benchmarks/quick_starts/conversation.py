"""What a process with a peer is told to do, and what it answers. Standard library alone: every environment runs it.

``python with_….py set-up`` makes the database and one person in the working folder, ``serve PORT`` serves it by HTTP on
one worker, ``measure`` answers one authenticated request, says ``ready``, and then times on request: ``me 100`` answers
the seconds of each of a hundred calls.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

EMAIL = "person@example.com"
PASSWORD = "violet anchor seventeen drums"
#: log2 of bcrypt's rounds: few, so that what is around the hash is not lost in the hash's noise.
COST = 4
OK = 200

_TOKEN = Path("token.txt")
#: What ``serve`` answers, as it goes over the wire.
_REQUEST = Path("request.http")


class Peer(Protocol):
    """A service under measurement, in this process."""

    def set_up(self) -> str:
        """Make tables and a person, log them in, and return their access token."""

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request by which the person asks who they are."""

    def me(self, token: str) -> None:
        """Make that request in this process."""

    def log_in(self) -> str:
        """Log the person in by password, and return the access token."""

    def check_hash(self) -> None:
        """Check the person's password, and nothing else."""

    def serve(self, port: int) -> None:
        """Serve by HTTP on one worker, for ever."""


def talk(peer: Peer) -> None:
    """Do what the command line says."""
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
    # What the peer prints goes to a file: a part of its work, but not for us to read.
    answers = os.fdopen(os.dup(1), "w")
    with Path("output.log").open("ab") as output:
        os.dup2(output.fileno(), 1)
    peer.me(token)
    print("ready", file=answers, flush=True)
    calls: dict[str, Any] = {"me": lambda: peer.me(token), "log-in": peer.log_in, "check-hash": peer.check_hash}
    for line in sys.stdin:
        name, times = line.split()
        begun = time.perf_counter()
        for _ in range(int(times)):
            calls[name]()
        print((time.perf_counter() - begun) / int(times), file=answers, flush=True)

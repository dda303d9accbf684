"""A proxy between the service and PostgreSQL that counts round trips and statements, and can add a delay.

A *round trip* is a flight of data to the server for whose response the client waits. It contains one statement or
several (a pipeline). The proxy parses the messages of PostgreSQL's frontend protocol. It connects through Unix sockets,
where libpq uses no TLS.
"""

import re
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from textwrap import shorten
from threading import Thread
from typing import Any, Final

from tests.support.aurora_dsql import ENDPOINT
from tests.support.databases import sqlalchemy_listener

#: The name of the socket in a folder that is the host of a connection (libpq, with its default port).
_SOCKET: Final = ".s.PGSQL.5432"
_CHUNK: Final = 65_536
#: The beginnings of statements that control a transaction.
_TRANSACTION_CONTROL: Final = ("BEGIN", "COMMIT", "ROLLBACK")
_WRITE: Final = re.compile(r"(?:WITH\b.*)?\b(?:INSERT|UPDATE|DELETE)\b", re.DOTALL)
#: Entries of a flight that are not statements: it only prepares statements, or it only waits for earlier ones.
_PREPARE: Final = "(prepare)"
_SYNC: Final = "(sync)"
#: The number of characters of a statement that are shown.
_SHOWN: Final = 100

# Types of messages (PostgreSQL documentation, "Message Formats").
_STARTUP: Final = b""
_QUERY, _PARSE, _BIND, _EXECUTE, _SYNCHRONISE, _FLUSH, _PASSWORD = (bytes([kind]) for kind in b"QPBESHp")
#: After these messages the client waits for the server.
_ASKING: Final = frozenset({_STARTUP, _QUERY, _SYNCHRONISE, _FLUSH, _PASSWORD})


class Traffic:
    """What was sent to the server since the last ``clear()``, by all connections."""

    def __init__(self) -> None:
        self._flights: list[list[str]] = []

    def clear(self) -> None:
        """Forget everything. The service must not wait for a response meanwhile."""
        self._flights.clear()

    def begin_flight(self) -> list[str]:
        """Return the list to which the statements of a new flight are added."""
        flight: list[str] = []
        self._flights.append(flight)
        return flight

    def has(self, flight: list[str]) -> bool:
        """Return whether a flight has begun since the last ``clear()``."""
        return any(each is flight for each in self._flights)

    @property
    def flights(self) -> list[list[str]]:
        """The statements of each round trip, in order.

        psycopg prepares a statement at its sixth execution on a connection. A round trip that only does that is left
        out, because it happens once.
        """
        return [flight for flight in self._flights if set(flight) - {_PREPARE}]

    @property
    def round_trips(self) -> int:
        """The number of times that the client waited for the server."""
        return len(self.flights)

    @property
    def statements(self) -> int:
        """The number of statements, without those that control a transaction."""
        return len([text for text in self._texts if not text.startswith((*_TRANSACTION_CONTROL, _PREPARE, _SYNC))])

    @property
    def commits(self) -> int:
        """The number of commits that wait for the disk: of transactions, and of writes outside of transactions."""
        number, in_transaction = 0, False
        for text in map(str.lstrip, self._texts):
            if text.startswith(_TRANSACTION_CONTROL):
                in_transaction = text.startswith("BEGIN")
                number += text == "COMMIT"
            else:
                number += bool(_WRITE.match(text)) and not in_transaction
        return number

    def __str__(self) -> str:
        """Return a line for each round trip with the beginnings of its statements."""
        return "\n".join(
            f"{number:3}. {' | '.join(_beginning(text) for text in flight)}"
            for number, flight in enumerate(self.flights, 1)
        )

    @property
    def _texts(self) -> list[str]:
        return [text for flight in self._flights for text in flight]


def _beginning(statement: str) -> str:
    return shorten(statement, width=_SHOWN, placeholder=" …")


@contextmanager
def counting_proxy(server: str, *, delay: float = 0) -> Iterator[Traffic]:
    """Connect all engines through a proxy while the block runs, and yield what the proxy counts.

    Engines that exist already keep their connections, so the caller starts a fresh environment.

    Args:
        server: The folder with PostgreSQL's socket.
        delay: The seconds that each round trip takes longer.

    """
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:

        def reach(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
            if options.get("host") in {server, ENDPOINT}:
                options["host"] = folder

        with _Proxy(folder, server, delay) as proxy, sqlalchemy_listener("do_connect", reach):
            Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield proxy.traffic
            proxy.shutdown()


class _Proxy(ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: str, server: str, delay: float) -> None:
        super().__init__(str(Path(folder, _SOCKET)), _Connection)
        self.database = str(Path(server, _SOCKET))
        self.delay = delay
        self.traffic = Traffic()


class _Connection(BaseRequestHandler):
    """Forwards the data of one connection in both directions until one side closes it."""

    server: _Proxy
    request: socket.socket

    def handle(self) -> None:
        """Forward the data."""
        client, counter = self.request, _Counter(self.server.traffic)
        with socket.socket(socket.AF_UNIX) as database:
            database.connect(self.server.database)
            while True:
                for source in select.select([client, database], [], [])[0]:
                    try:
                        data = source.recv(_CHUNK)
                    except ConnectionResetError:
                        return
                    if not data:
                        return
                    if source is client:
                        counter.count(data)
                        database.sendall(data)
                    else:
                        if counter.is_response():
                            time.sleep(self.server.delay)
                        client.sendall(data)


class _Counter:
    """Counts the flights of one connection."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._flight = traffic.begin_flight()
        self._is_asking = self._is_answered = False
        self._received = b""
        self._has_started = False
        #: The text of each prepared statement by its name, and that of the statement that is executed next.
        self._texts: dict[bytes, str] = {}
        self._bound = ""

    def count(self, data: bytes) -> None:
        """Count what the client sends."""
        # psycopg may end a pipeline with a Flush to which the server does not respond. The next flight is another one.
        if self._is_answered or not self._traffic.has(self._flight):
            self._flight = self._traffic.begin_flight()
            self._is_asking = self._is_answered = False
        self._received += data
        for kind, body in self._messages():
            self._count(kind, body)

    def is_response(self) -> bool:
        """Note that the server sends data. Return whether these are the first of the response to a flight.

        An error is sent before the client asks for a response. It ends no flight, because the client is not waiting.
        """
        is_first = self._is_asking and not self._is_answered
        self._is_answered = self._is_answered or is_first
        return is_first

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Remove and yield the type and the body of each complete message. The first message has no type."""
        while True:
            start = 1 if self._has_started else 0
            length = int.from_bytes(self._received[start : start + 4]) if len(self._received) >= start + 4 else None
            if length is None or len(self._received) < start + length:
                return
            kind, body = self._received[:start], self._received[start + 4 : start + length]
            self._received = self._received[start + length :]
            self._has_started = True
            yield kind, body

    def _count(self, kind: bytes, body: bytes) -> None:
        self._is_asking |= kind in _ASKING
        if kind == _QUERY:
            self._flight.append(body.rstrip(b"\0").decode())
        elif kind == _PARSE:
            name, text, _ = body.split(b"\0", 2)
            self._texts[name] = text.decode()
            if name:
                self._flight.append(_PREPARE)
        elif kind == _BIND:
            self._bound = self._texts.get(body.split(b"\0", 2)[1], "?")
        elif kind == _EXECUTE:
            self._flight.append(self._bound)
        elif kind == _SYNCHRONISE and not self._flight:
            self._flight.append(_SYNC)

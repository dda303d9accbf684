"""The local runtime under 1, 8 and 64 clients, who ask as soon as they have an answer, each on a connection of its own.

Runtime and clients share this machine's processors. Every answer must be a success, or there is no figure.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from itertools import chain
from statistics import median, quantiles
from typing import Final

from benchmarks.report import Table
from benchmarks.service import SETTINGS, fresh_service
from tests.support.databases import start_fresh_environment
from tests.support.factories import PASSWORD, Account, sign_up
from tests.support.runtime import running_service

CLIENTS: Final = (1, 8, 64)
#: Seconds that the clients' requests of a round may take.
_PATIENCE: Final = 120


def measure_load(*, rounds: int, requests: int = 320) -> Table:
    """Tell the milliseconds that half, and 99 of 100, of the requests took at the most, and how many came through.

    Args:
        rounds: how many count, after one for warming up.
        requests: of each round, by all clients together.

    """
    with fresh_service(**SETTINGS) as folder:
        # Each client is a person of their own: one account's logins wait for each other.
        people = [sign_up(f"client{number}@example.com") for number in range(max(CLIENTS))]
        start_fresh_environment()  # this process leaves the database to the runtime
        with running_service(folder) as url:
            port = int(url.rpartition(":")[2])
            rows = [
                (name, str(clients), *_row(port, [request(person) for person in people[:clients]], rounds, requests))
                for name, request in _REQUESTS.items()
                for clients in CLIENTS
            ]
    return Table(("Asked", "Clients", "p50, ms", "p99, ms", "Requests a second"), tuple(rows))


def _row(port: int, asked: Sequence[bytes], rounds: int, requests: int) -> tuple[str, str, str]:
    """Run rounds of which each client has its own request."""
    times: list[float] = []
    rates = []
    for number in range(rounds + 1):
        begun = time.perf_counter()
        taken = asyncio.run(ask_all(port, asked, requests // len(asked)))
        if number:
            rates.append(len(taken) / (time.perf_counter() - begun))
            times += taken
    percentiles = quantiles(times, n=100, method="inclusive")
    return f"{percentiles[49] * 1e3:.1f}", f"{percentiles[98] * 1e3:.1f}", f"{median(rates):.0f}"


async def ask_all(port: int, asked: Sequence[bytes], times: int) -> list[float]:
    """Let each client ask so many times, and return the seconds of each answer."""
    async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
        clients = [group.create_task(_ask(port, request, times)) for request in asked]
    return list(chain.from_iterable(client.result() for client in clients))


async def _ask(port: int, request: bytes, times: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    try:
        for _ in range(times):
            begun = time.perf_counter()
            writer.write(request)
            await _read_answer(reader)
            taken.append(time.perf_counter() - begun)
    finally:
        writer.close()
        await writer.wait_closed()
    return taken


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    lengths = [line for line in headers if line.lower().startswith(b"content-length:")]
    body = await reader.readexactly(int(lengths[0].partition(b":")[2]))
    if int(status.split()[1]) != HTTPStatus.OK:
        raise RuntimeError((head + body).decode())


def _get_user(person: Account) -> bytes:
    return _request("GET", f"/users/{person.id}", f"Authorization: Bearer {person.access_token}")


def _log_in(person: Account) -> bytes:
    body = json.dumps({"email": person.email, "password": PASSWORD})
    return _request("POST", "/login", "Content-Type: application/json", body=body)


def _file(_: Account) -> bytes:
    return _request("GET", "/index.html")


def _request(method: str, path: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


_REQUESTS: Final[dict[str, Callable[[Account], bytes]]] = {
    "a file: the gateway alone": _file,
    "`GET /users/{id}`": _get_user,
    "`POST /login`, bcrypt's cost 4": _log_in,
}

"""The local runtime under the load of 1, 8 and 64 clients. Each sends requests one after the other on its connection.

Runtime and clients share the processors of this machine. A response without success stops the benchmark.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from itertools import chain
from statistics import median, quantiles
from typing import Final

from auth_common.settings import settings
from benchmarks.report import Table
from benchmarks.service import SETTINGS, fresh_service
from tests.support.databases import start_fresh_environment
from tests.support.factories import PASSWORD, Account, sign_up
from tests.support.runtime import running_service

CLIENTS: Final = (1, 8, 64)
#: Seconds that all requests of a round may take.
_TIMEOUT: Final = 120


def measure_load(*, rounds: int, requests: int = 320) -> Table:
    """Return the median and the 99th percentile of the response time, and the requests in a second.

    Args:
        rounds: the number of measured rounds, after one to warm up.
        requests: the number of requests in each round, by all clients together.

    """
    with fresh_service(**SETTINGS) as folder:
        # Each client has an account of its own, because logins of one account wait for each other.
        accounts = [sign_up(f"client{number}@example.com") for number in range(max(CLIENTS))]
        start_fresh_environment()  # closes this process's connections to the database
        # The accounts' tokens have this process's issuer. A service has the URL of its port otherwise.
        with running_service(folder, TOKEN_ISSUER=settings().issuer()) as url:
            port = int(url.rpartition(":")[2])
            rows = [
                (
                    name,
                    str(clients),
                    *_row(port, [request(account) for account in accounts[:clients]], rounds, requests),
                )
                for name, request in _REQUESTS.items()
                for clients in CLIENTS
            ]
    return Table(("Request", "Clients", "p50, ms", "p99, ms", "Requests a second"), tuple(rows))


def _row(port: int, requests_by_client: Sequence[bytes], rounds: int, requests: int) -> tuple[str, str, str]:
    """Run the rounds, in which each client repeats its own request. Return the cells of the result."""
    times: list[float] = []
    rates = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        response_times = asyncio.run(send_all(port, requests_by_client, requests // len(requests_by_client)))
        if number:
            rates.append(len(response_times) / (time.perf_counter() - start))
            times += response_times
    percentiles = quantiles(times, n=100, method="inclusive")
    return f"{percentiles[49] * 1e3:.1f}", f"{percentiles[98] * 1e3:.1f}", f"{median(rates):.0f}"


async def send_all(port: int, requests_by_client: Sequence[bytes], times: int) -> list[float]:
    """Send each client's request ``times`` times. Return the seconds until each response.

    Raises:
        ExceptionGroup: a response is not a success (RuntimeError), or a connection failed.

    """
    async with asyncio.timeout(_TIMEOUT), asyncio.TaskGroup() as group:
        clients = [group.create_task(_send(port, request, times)) for request in requests_by_client]
    return list(chain.from_iterable(client.result() for client in clients))


async def _send(port: int, request: bytes, times: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    response_times = []
    try:
        for _ in range(times):
            start = time.perf_counter()
            writer.write(request)
            await _read_response(reader)
            response_times.append(time.perf_counter() - start)
    finally:
        writer.close()
        await writer.wait_closed()
    return response_times


async def _read_response(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    lengths = [line for line in headers if line.lower().startswith(b"content-length:")]
    body = await reader.readexactly(int(lengths[0].partition(b":")[2]))
    if int(status.split()[1]) != HTTPStatus.OK:
        raise RuntimeError((head + body).decode())


def _get_user(account: Account) -> bytes:
    return _request("GET", f"/users/{account.id}", f"Authorization: Bearer {account.access_token}")


def _log_in(account: Account) -> bytes:
    body = json.dumps({"email": account.email, "password": PASSWORD})
    return _request("POST", "/login", "Content-Type: application/json", body=body)


def _file(_: Account) -> bytes:
    return _request("GET", "/index.html")


def _request(method: str, path: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


_REQUESTS: Final[dict[str, Callable[[Account], bytes]]] = {
    "a file, without a function": _file,
    "`GET /users/{id}`": _get_user,
    "`POST /login`, bcrypt's cost 4": _log_in,
}

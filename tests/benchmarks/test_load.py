"""The section ``load``, with only a few requests. No test asserts a time."""

import asyncio

import pytest

from benchmarks.load import measure_load, send_all

pytestmark = pytest.mark.benchmark


def test_each_request_is_measured_under_each_number_of_clients(monkeypatch):
    monkeypatch.setattr("benchmarks.load.CLIENTS", (1, 3))
    table = measure_load(rounds=1, requests=6)
    assert table.heading == ("Request", "Clients", "p50, ms", "p99, ms", "Requests a second")
    requests = ("a file, without a function", "`GET /users/{id}`", "`POST /login`, bcrypt's cost 4")
    assert [row[:2] for row in table.rows] == [(name, clients) for name in requests for clients in ("1", "3")]
    assert all(float(value) > 0 for row in table.rows for value in row[2:])


def test_response_without_success_stops_the_benchmark():
    async def reject(_reader, writer):
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nBusy")
        writer.close()
        await writer.wait_closed()

    async def send():
        async with await asyncio.start_server(reject, "127.0.0.1", 0) as server:
            await send_all(server.sockets[0].getsockname()[1], [b"GET / HTTP/1.1\r\n\r\n"], 1)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(send())
    (error,) = caught.value.exceptions
    assert str(error).startswith("HTTP/1.1 503 Service Unavailable")
    assert str(error).endswith("Busy")

"""The section ``load``, with few requests. No test looks at a time."""

import asyncio

import pytest

from benchmarks.load import ask_all, measure_load

pytestmark = pytest.mark.benchmark


def test_each_request_is_measured_under_each_number_of_clients(monkeypatch):
    monkeypatch.setattr("benchmarks.load.CLIENTS", (1, 3))
    table = measure_load(rounds=1, requests=6)
    assert table.heading == ("Asked", "Clients", "p50, ms", "p99, ms", "Requests a second")
    asked = ("a file: the gateway alone", "`GET /users/{id}`", "`POST /login`, bcrypt's cost 4")
    assert [row[:2] for row in table.rows] == [(name, clients) for name in asked for clients in ("1", "3")]
    assert all(float(value) > 0 for row in table.rows for value in row[2:])


def test_an_answer_that_is_no_success_stops_the_benchmark():
    async def refuse(_reader, writer):
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nBusy")
        writer.close()
        await writer.wait_closed()

    async def ask():
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            await ask_all(server.sockets[0].getsockname()[1], [b"GET / HTTP/1.1\r\n\r\n"], 1)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(ask())
    (error,) = caught.value.exceptions
    assert str(error).startswith("HTTP/1.1 503 Service Unavailable")
    assert str(error).endswith("Busy")

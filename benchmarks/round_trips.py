"""Round trips to a database that is far away: each call on PostgreSQL through a proxy that adds a delay.

``tests/layers/database/test_round_trips.py`` holds the numbers of statements and round trips.
"""

import gc
import time
from contextlib import closing
from typing import Any, Final

from benchmarks.report import Table
from benchmarks.service import fresh_service, handler_of
from tests.support.databases import Database, PostgresServer, running_postgres, start_fresh_environment
from tests.support.events import lambda_context
from tests.support.measured_calls import MEASURED_CALLS, SETTINGS, MeasuredCall, Request
from tests.support.round_trips import Traffic, counting_proxy

#: Seconds. Assumed for a round trip from Lambda to Aurora DSQL (docs/scaling.md).
_DELAY: Final = 0.0025
_HEADING: Final = (
    "Call",
    "Statements",
    "Commits",
    "Round trips",
    "Time, ms",
    "Round trips without pipelining",
    "Time without pipelining, ms",
)


def measure_round_trips(*, rounds: int, flights: bool = False) -> Table:
    """Return the statements, round trips and shortest time of each call, on a connection that is in use.

    bcrypt has cost 4, and PostgreSQL does not wait for its disk.

    Args:
        rounds: the number of measured calls, after one to open the connection.
        flights: whether to print the statements of each round trip.

    """
    rows = []
    with running_postgres() as server:
        for name, call in MEASURED_CALLS.items():
            traffic, time_taken = _measure(server, call, rounds=rounds, pipeline="true")
            without, time_without = _measure(server, call, rounds=rounds, pipeline="false")
            if flights:
                print(f"{name}\n{traffic}\n")
            counts = traffic.statements, traffic.commits, traffic.round_trips
            rows.append((name, *map(str, counts), time_taken, str(without.round_trips), time_without))
    return Table(_HEADING, tuple(rows))


def _measure(server: PostgresServer, call: MeasuredCall, *, rounds: int, pipeline: str) -> tuple[Traffic, str]:
    """Return the traffic of the last round, and the time of the fastest one in milliseconds."""
    times = []
    with (
        server.new_database(migrated=True) as url,
        fresh_service(BCRYPT_COST="4", DATABASE_URL=url, DATABASE_PIPELINE=pipeline, **SETTINGS, **call.settings),
        counting_proxy(server.socket, delay=_DELAY) as traffic,
        closing(call.requests(Database("postgresql", url))) as requests,
    ):
        start_fresh_environment()  # connects through the proxy
        _send(next(requests))
        for _ in range(rounds):
            request = next(requests)
            gc.collect()
            traffic.clear()
            start = time.perf_counter()
            _send(request)
            times.append(time.perf_counter() - start)
    return traffic, f"{min(times) * 1e3:.0f}"


def _send(request: Request) -> Any:
    response = handler_of(request.function)(request.event, lambda_context(request.function))
    assert response["statusCode"] == request.status, response
    return response

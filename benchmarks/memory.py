"""The memory of each function after its first response, and after further responses.

The processes start as in Lambda. Lambda's runtime and extensions need additional memory there.
"""

from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.cold_start import REQUIRED_LIBRARIES, FirstResponse, first_response, minimal_response
from benchmarks.first_requests import FirstRequests
from benchmarks.report import Table
from benchmarks.service import PROJECT, SETTINGS, environment_of, fresh_service
from tests.support.databases import running_postgres

#: Status codes of success. Responses of the authorizer and of the clean-up have no status code.
_SUCCESS: Final = {200, 201, 204, None}


def measure_memory(*, rounds: int, requests: int = 100) -> Table:
    """Return the peak of resident memory of each function in megabytes (10^6 bytes), the median of the rounds.

    Args:
        rounds: the number of measured rounds.
        requests: the number of requests after the first one.

    """
    with fresh_service(**SETTINGS) as data_dir:
        first = FirstRequests()
        floors = {
            function: median(minimal_response(function, first, data_dir).peaks[0] for _ in range(rounds))
            for function in REQUIRED_LIBRARIES
        }
        on_sqlite = _peaks(first, data_dir, rounds=rounds, requests=requests)
    with (
        running_postgres() as server,
        server.new_database(migrated=True) as url,
        fresh_service(**SETTINGS, DATABASE_URL=url) as data_dir,
    ):
        on_postgres = _peaks(FirstRequests(), data_dir, rounds=rounds, requests=requests, DATABASE_URL=url)
    heading = (
        "Function",
        "Its libraries",
        "First response",
        f"{requests} more",
        "PostgreSQL: first",
        f"{requests} more",
    )
    return Table(
        heading,
        tuple(
            (f"`{function}`", *map(_megabytes, (floor, *on_sqlite[function], *on_postgres[function])))
            for function, floor in floors.items()
        ),
    )


def _peaks(
    first: FirstRequests, data_dir: Path, *, rounds: int, requests: int, **settings: str
) -> dict[str, tuple[float, float]]:
    found = {}
    for function in REQUIRED_LIBRARIES:
        environment = environment_of(function, data_dir, **SETTINGS, **settings)
        runs = [_run(function, first, environment, requests=requests).peaks for _ in range(rounds)]
        found[function] = (median(peak for peak, _ in runs), median(peak for _, peak in runs))
    return found


def _run(function: str, first: FirstRequests, environment: dict[str, str], *, requests: int) -> FirstResponse:
    event, *then = (first.request(function) for _ in range(requests + 1))
    run = first_response(PROJECT / "functions" / function, event, environment, then=then)
    assert run.statuses <= _SUCCESS, run.statuses
    return run


def _megabytes(peak: float) -> str:
    return f"{peak / 1e6:.0f}"

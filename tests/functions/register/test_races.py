"""POST /users, many at once: the database decides who gets an address."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from auth_common.db.tables import users
from tests.support.factories import register

pytestmark = [pytest.mark.accounts, pytest.mark.aurora_dsql]


def together(starters: int, request: Callable[[int], int]) -> Counter[int]:
    """Return how often each status came when ``starters`` threads, each with a connection, call at one moment."""
    register(email="warm-up@example.com")  # one engine, as in one environment
    start = Barrier(starters)

    def wait_and_request(number: int) -> int:
        start.wait()
        return request(number)

    with ThreadPoolExecutor(starters) as threads:
        return Counter(threads.map(wait_and_request, range(starters)))


@pytest.mark.asvs("2.3.4", "15.4.2")
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("starters", [2, 12])
def test_simultaneous_registrations_of_one_address_give_one_201_and_else_409(database, starters):
    assert together(starters, lambda _: register().status) == {201: 1, 409: starters - 1}
    assert database.count(users) == 1 + 1


def test_simultaneous_registrations_of_different_addresses_all_succeed(database):
    assert together(12, lambda number: register(email=f"person{number}@example.com").status) == {201: 12}
    assert database.count(users) == 1 + 12

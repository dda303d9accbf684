"""Concurrent POST /users: the database accepts one account per address."""

import pytest

from auth_common.database.tables import users
from tests.support.factories import register
from tests.support.races import send_burst

pytestmark = [pytest.mark.accounts, pytest.mark.aurora_dsql]


@pytest.mark.asvs("2.3.4", "15.4.2")
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("size", [2, 12])
def test_concurrent_registrations_of_one_address_return_one_201_and_409(database, size):
    assert send_burst(size, lambda _: register()) == {201: 1, 409: size - 1}
    assert database.count(users) == 1


def test_concurrent_registrations_of_different_addresses_all_succeed(database):
    assert send_burst(12, lambda number: register(email=f"person{number}@example.com")) == {201: 12}
    assert database.count(users) == 12

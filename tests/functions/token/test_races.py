"""Concurrent requests of POST /token: an assertion works once."""

from collections import Counter

import pytest
from sqlalchemy import select

from auth_common.database.tables import client_assertions
from tests.support.clients import assertion, ec_key, register_client, request_token, with_assertion
from tests.support.races import on_each_isolation_level, send_at_once

pytestmark = pytest.mark.clients


@pytest.mark.asvs("10.4.10", "15.4.2")
@pytest.mark.threat("client-assertion-replay")
@on_each_isolation_level
def test_of_many_concurrent_uses_of_an_assertion_one_is_accepted(database, isolation):
    register_client(key=ec_key())
    sent = with_assertion(assertion(ec_key()))
    answers = send_at_once(*[lambda: request_token(**sent)] * 8)
    assert Counter(answer.status for answer in answers) == {200: 1, 401: 7}
    assert len(database.execute(select(client_assertions))) == 1

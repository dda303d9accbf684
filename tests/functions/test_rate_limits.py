"""The contract of every rate limit that rejects attempts: tests.support.throttles.LIMITS."""

import pytest

from auth_common.database.tables import challenges, passkeys, sessions, users
from auth_common.settings import Settings
from tests.support.databases import acting_as
from tests.support.events import SOURCE_IP
from tests.support.outages import UNAVAILABLE, failing_statements
from tests.support.races import send_burst
from tests.support.throttles import (
    LIMITS,
    ClientFromAllClientIPs,
    ClientsFromClientIP,
    Limit,
    LoginAtUnknownAddress,
    RefreshFromClientIP,
    attempt_counts,
    counter_rows,
    recorded_failures,
    use_limits,
)

pytestmark = [pytest.mark.throttling, pytest.mark.sqlite]

LIMIT = 3


@pytest.fixture(params=LIMITS, ids=lambda limit: limit.__name__)
def limit(request, database, monkeypatch):
    Limit.database = database
    limit = request.param()
    use_limits(monkeypatch, **{limit.setting: LIMIT})
    return limit


def reach(limit):
    assert [limit.attempt(number).status for number in range(LIMIT)] == [limit.status] * LIMIT


#: Their valid attempts are accepted during a lockout, or there are none.
WITHOUT_LOCKED_SUCCESS = {LoginAtUnknownAddress, RefreshFromClientIP, ClientsFromClientIP, ClientFromAllClientIPs}


@pytest.mark.asvs("2.3.2", "2.4.1", "6.3.1", "8.2.4", "15.2.2")
@pytest.mark.threat("function-lockout-of-others")
def test_attempts_beyond_limit_are_rejected_before_their_work_and_other_requests_accepted(database, limit, hash_costs):
    reach(limit)
    stored = [database.count(table) for table in (users, sessions, passkeys, challenges)]
    hash_costs.clear()
    answer = limit.attempt(LIMIT)
    assert (answer.status, answer.code) == (429, limit.code)
    seconds = int(answer.headers["retry-after"])
    longest = limit.window if limit.is_fixed else 30
    assert longest // 2 < seconds <= longest
    assert answer.headers["ratelimit-policy"] == f'"{limit.name}";q={LIMIT};w={limit.window}'
    assert answer.headers["ratelimit"] == f'"{limit.name}";r=0;t={seconds}'
    assert type(limit) in WITHOUT_LOCKED_SUCCESS or limit.succeed().status == 429
    # The first rejection is marked as recorded. Attempts during a lockout neither count nor extend it.
    counters = counter_rows(database)
    assert {limit.attempt(number).status for number in range(LIMIT + 1, LIMIT + 6)} == {429}
    assert counter_rows(database) == counters
    assert hash_costs == []
    assert [database.count(table) for table in (users, sessions, passkeys, challenges)] == stored
    for row in counters:
        assert len(row.key) == 16
        assert not any("@example.com" in str(value) or SOURCE_IP in str(value) for value in row)
    # Another client IP or account has a limit of its own.
    assert limit.attempt_of_another().status == limit.status
    assert [answer.status < 300 for answer in limit.allowed()] == [True]


def test_lockout_that_has_ended_accepts_one_attempt_and_doubles(database, limit):
    reach(limit)
    assert limit.attempt(LIMIT).status == 429
    limit.end_lockout()
    assert limit.attempt(LIMIT + 1).status == limit.status
    if limit.is_fixed:
        return
    answer = limit.attempt(LIMIT + 2)
    assert answer.status == 429
    assert 30 < int(answer.headers["retry-after"]) <= 60


@pytest.mark.asvs("2.4.1", "6.3.1", "15.2.2")
@pytest.mark.threat("function-password-guessing")
@pytest.mark.aurora_dsql
def test_concurrent_burst_does_not_exceed_limit(database, limit):
    with acting_as(limit.role):
        statuses = send_burst(20, limit.attempt)
    assert statuses == {limit.status: LIMIT, 429: 20 - LIMIT}


WITH_SUCCESS = [limit for limit in LIMITS if limit is not LoginAtUnknownAddress]


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("limit", WITH_SUCCESS, indirect=True, ids=lambda limit: limit.__name__)
def test_server_error_uses_up_no_attempt(database, limit):
    for number in range(LIMIT - 1):
        limit.attempt(number)
    before = attempt_counts(database)
    for error, status in ((UNAVAILABLE, 503), (ZeroDivisionError(), 500)):
        with failing_statements(limit.needs, error=error):
            assert [limit.succeed().status for _ in range(LIMIT)] == [status] * LIMIT
    assert attempt_counts(database) == before
    assert limit.succeed().status < 300


@pytest.mark.asvs("2.4.1")
@pytest.mark.threat("audit-filled", "logs-silenced-alarms")
def test_each_lockout_records_one_rejection_and_counts_all(database, limit, log_lines):
    reach(limit)
    recorded = recorded_failures(database).total()
    for lockout in (1, 2):
        assert {limit.attempt(number).status for number in range(10 * lockout, 10 * lockout + 5)} == {429}
        assert recorded_failures(database)["excess_rate_limit_exceeded", limit.name] == lockout
        limit.end_lockout()
        if lockout == 1:
            assert recorded_failures(database).total() == recorded + 1
            for number in range(99, 99 + (LIMIT if limit.is_fixed else 1)):
                assert limit.attempt(number).status == limit.status
    assert sum("excess_rate_limit_exceeded" in line for line in log_lines.metrics) == 10
    silent = [record for record in log_lines.records if record["message"] == "attempt rejected"]
    assert [record["limit"] for record in silent] == [limit.name] * 8


def test_every_limit_of_the_settings_is_under_contract():
    named = {
        name.removeprefix("throttle_")
        for name in Settings.__dataclass_fields__
        if name.startswith("throttle_") and "_per_" in name
    }
    assert {limit.setting for limit in LIMITS} == named - {"bad_input_per_source"}

"""Many POST /users: details of their rate limits that test_rate_limits.py does not cover."""

import pytest

from auth_common.database.tables import audit_events, throttles
from tests.support.databases import start_fresh_environment
from tests.support.factories import call_as, register, sign_up
from tests.support.races import send_burst
from tests.support.throttles import OTHER_CLIENT_IP, expire_lockouts, recorded_failures, use_limits

pytestmark = [pytest.mark.accounts, pytest.mark.throttling, pytest.mark.sqlite]


@pytest.fixture(autouse=True)
def limit(database, monkeypatch):
    use_limits(monkeypatch, registration_per_source=3)


def test_taken_addresses_count_and_invalid_registrations_do_not():
    for changes in ({"password": "short"}, {"email": "nobody"}, {"role": "admin"}):
        assert [register(**changes).status for _ in range(4)] == [422] * 4, changes
    assert [register().status for _ in range(4)] == [201, 409, 409, 429]


@pytest.mark.asvs("2.4.1", "15.2.2")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_weak_password_during_a_lockout_is_not_scored(database):
    """Scoring costs as much as hashing. The response contains no fault of the password, which was not checked."""
    for number in range(3):
        register(email=f"person{number}@example.com")
    for weak in ("short", "a" * 256, "4@8({[<369!1|0$5+7%2/" * 12):
        answer = register(password=weak)
        assert (answer.status, answer.code, "errors" in answer.json) == (429, "too_many_attempts", False), weak


def test_concurrent_weak_registrations_do_not_count(database):
    assert send_burst(12, lambda _: register(password="a" * 20)).keys() <= {422, 429}
    assert [register(email=f"person{number}@example.com").status for number in range(3)] == [201] * 3


@pytest.fixture
def few_records(monkeypatch):
    use_limits(monkeypatch, bad_input_per_source=3)


@pytest.mark.asvs("2.4.1")
@pytest.mark.usefixtures("few_records")
def test_audit_records_of_bad_input_are_limited_per_client_ip(database, capsys):
    """Bad bodies, bad queries and weak passwords share a limit. Beyond it, only the audit record is left out."""
    token = sign_up().access_token
    for _ in range(2):
        assert register(password="short").status == register(role="admin").status == 422
        assert call_as(token, "sessions", "GET", "/sessions", query={"cursor": "?"}).status == 422
    refused, beyond = ("input_validation_fail", None), ("excess_rate_limit_exceeded", "bad_input_source")
    assert recorded_failures(database) == {refused: 3, beyond: 1}
    assert capsys.readouterr().out.count('"input_validation_fail":[1.0]') == 6
    assert register({"sourceIp": OTHER_CLIENT_IP}, role="admin").status == 422
    assert recorded_failures(database) == {refused: 4, beyond: 1}


@pytest.mark.threat("audit-filled")
@pytest.mark.usefixtures("few_records")
def test_bad_input_during_a_lockout_writes_nothing(database):
    for _ in range(4):
        register(role="admin")
    before = database.execute(throttles.select()), database.count(audit_events)
    assert register(role="admin").status == 422
    assert (database.execute(throttles.select()), database.count(audit_events)) == before
    expire_lockouts(database)
    register(role="admin")
    assert recorded_failures(database)["input_validation_fail", None] == 4


def test_bad_input_without_a_database_returns_422(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    start_fresh_environment()
    answer = register(role="admin")
    assert (answer.status, answer.code) == (422, "validation_failed")

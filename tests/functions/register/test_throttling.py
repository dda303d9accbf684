"""POST /users in bulk: each source has a budget, whatever becomes of its registrations."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from auth_common.db.tables import audit_events, throttles, users
from auth_common.errors import DatabaseUnavailable
from auth_common.services import registration as service
from tests.support.databases import start_fresh_environment
from tests.support.events import json_event
from tests.support.factories import call_as, log_in, register, registration, sign_up
from tests.support.functions import call
from tests.support.throttles import ELSEWHERE, let_locks_end

pytestmark = [pytest.mark.accounts, pytest.mark.throttling]


@pytest.fixture(autouse=True)
def budget(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_REGISTRATION_PER_SOURCE", "3")
    start_fresh_environment()


def register_as(number):
    return register(email=f"person{number}@example.com")


@pytest.mark.asvs("2.3.2", "2.4.1")
def test_a_source_has_a_budget_of_registrations_and_then_waits(database, hash_costs):
    assert [register_as(number).status for number in range(3)] == [201] * 3
    hash_costs.clear()
    answer = register_as(3)
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert answer.headers["ratelimit-policy"] == '"registration_source";q=3;w=3600'
    assert answer.headers["retry-after"] == "30"
    assert hash_costs == []
    assert database.count(users) == 3


def test_asking_for_addresses_spends_it_too():
    register_as(0)
    assert [register_as(0).status for _ in range(3)] == [409, 409, 429]


def test_another_source_has_its_own():
    for number in range(3):
        register_as(number)
    body = registration(email="elsewhere@example.com")
    assert call("register", json_event("POST", "/users", body, sourceIp=ELSEWHERE)).status == 201


def test_whoever_has_registered_too_often_may_still_log_in():
    for number in range(4):
        register_as(number)
    assert log_in("person0@example.com").status == 200


@pytest.mark.parametrize("changes", [{"password": "short"}, {"email": "nobody"}, {"role": "admin"}])
def test_bad_input_spends_nothing(changes):
    for _ in range(5):
        assert register(**changes).status == 422
    assert register().status == 201


def recorded(database):
    """Return how many failures of which kind the audit log has."""
    statement = select(audit_events.c.name, audit_events.c.reason).where(audit_events.c.outcome == "failure")
    return Counter(tuple(row) for row in database.execute(statement))


@pytest.fixture
def few_records(monkeypatch):
    monkeypatch.setenv("THROTTLE_BAD_INPUT_PER_SOURCE", "3")
    start_fresh_environment()


@pytest.mark.asvs("2.4.1")
@pytest.mark.usefixtures("few_records")
def test_a_source_has_a_budget_of_records_of_bad_input(database, capsys):
    """Of a body, of a query and of a password that is too weak, together. Beyond it, the answer and the metric stay."""
    token = sign_up().access_token
    for _ in range(2):
        assert register(password="short").status == register(role="admin").status == 422
        assert call_as(token, "sessions", "GET", "/sessions", query={"cursor": "?"}).status == 422
    refused, beyond = ("input_validation_fail", None), ("excess_rate_limit_exceeded", "bad_input_source")
    assert recorded(database) == {refused: 3, beyond: 1}
    assert capsys.readouterr().out.count('"input_validation_fail":[1.0]') == 6
    elsewhere = json_event("POST", "/users", registration(role="admin"), sourceIp=ELSEWHERE)
    assert call("register", elsewhere).status == 422
    assert recorded(database) == {refused: 4, beyond: 1}


@pytest.mark.threat("audit-filled")
@pytest.mark.usefixtures("few_records")
def test_in_a_lock_bad_input_writes_nothing(database):
    for _ in range(4):
        register(role="admin")
    before = database.execute(throttles.select()), database.count(audit_events)
    assert register(role="admin").status == 422
    assert (database.execute(throttles.select()), database.count(audit_events)) == before


@pytest.mark.usefixtures("few_records")
def test_after_a_lock_bad_input_is_recorded_again(database):
    for _ in range(4):
        register(role="admin")
    let_locks_end(database)
    register(role="admin")
    assert recorded(database)["input_validation_fail", None] == 4


def test_bad_input_is_422_where_it_can_be_neither_counted_nor_recorded(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    start_fresh_environment()
    answer = register(role="admin")
    assert (answer.status, answer.code) == (422, "validation_failed")


def test_a_server_error_spends_nothing(database, monkeypatch):
    def fail(*_, **__):
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(service, "insert_user", fail)
        assert [register().status for _ in range(5)] == [503] * 5
    assert database.execute(select(throttles.c.failures, throttles.c.locked_until)) == [(0, None)]
    assert register().status == 201


def test_a_concurrent_burst_cannot_exceed_the_budget(database):
    call("health", json_event("GET", "/health", None))  # one engine, as in one environment
    with ThreadPoolExecutor(20) as threads:
        statuses = Counter(threads.map(lambda number: register_as(number).status, range(20)))
    assert statuses == {201: 3, 429: 17}


def test_one_refusal_a_lock_is_recorded(database):
    for number in range(8):
        register_as(number)
    let_locks_end(database)
    for number in range(8, 12):
        register_as(number)
    assert recorded(database) == {("excess_rate_limit_exceeded", "registration_source"): 2}

"""POST /token/refresh with tokens that are not valid: a source may try so many, and then learns nothing more."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from auth_common.db.tables import audit_events, sessions, throttles
from tests.support.databases import start_fresh_environment
from tests.support.factories import log_out, refresh, sign_up

pytestmark = [pytest.mark.sessions, pytest.mark.throttling]

BAD = "rt_unknown"


@pytest.fixture(autouse=True)
def budget(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_REFRESH_PER_SOURCE", "3")
    start_fresh_environment()


def recorded(database, name):
    return database.execute(select(audit_events.c.reason).where(audit_events.c.name == name))


@pytest.mark.asvs("2.4.1")
def test_a_source_has_a_budget_of_refused_tokens(database):
    assert [refresh(BAD).status for _ in range(3)] == [401] * 3
    answer = refresh(BAD)
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert answer.headers["ratelimit-policy"] == '"refresh_source";q=3;w=3600'


def test_a_valid_token_counts_for_nothing_and_works_in_a_lock_too(database):
    """Nobody guesses 256 bits: there is no reason to log out everybody behind that address."""
    person = sign_up()
    before = database.execute(throttles.select())
    token = refresh(person.refresh_token).json["refresh_token"]
    assert database.execute(throttles.select()) == before
    for _ in range(4):
        refresh(BAD)
    assert refresh(token).status == 200


def test_a_theft_is_seen_and_ends_the_session_in_a_lock_too(database):
    person = sign_up()
    live = refresh(refresh(person.refresh_token).json["refresh_token"]).json["refresh_token"]
    for _ in range(4):
        refresh(BAD)
    assert refresh(person.refresh_token).status == 429
    assert recorded(database, "authn_token_reuse") == [("spent_token_reused",)]
    ((revoked_at,),) = database.execute(select(sessions.c.revoked_at))
    assert revoked_at is not None
    assert refresh(live).status == 429


@pytest.mark.threat("audit-filled")
def test_refusals_do_not_fill_the_audit_log(database):
    person = sign_up()
    log_out(person.access_token)
    for _ in range(10):
        refresh(person.refresh_token)
    assert recorded(database, "authn_token_rejected") == [("session_revoked",)] * 3
    assert recorded(database, "excess_rate_limit_exceeded") == [("refresh_source",)]
    assert recorded(database, "authn_login_lock") == []


def test_a_concurrent_burst_is_not_refused_more_often_than_the_budget_says(database):
    refresh(BAD)  # one engine, as in one environment
    with ThreadPoolExecutor(20) as threads:
        statuses = sorted(threads.map(lambda _: refresh(BAD).status, range(20)))
    assert statuses == [401] * 2 + [429] * 18

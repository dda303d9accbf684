"""The rate limit of POST /token/refresh, as far as the contract in test_rate_limits.py does not cover it."""

import pytest
from sqlalchemy import select

from auth_common.database.tables import sessions, throttles
from tests.support.factories import log_out, refresh, sign_up
from tests.support.throttles import recorded_failures, use_limits

pytestmark = [pytest.mark.sessions, pytest.mark.throttling, pytest.mark.sqlite]

BAD = "rt_unknown"


@pytest.fixture(autouse=True)
def limit(database, monkeypatch):
    use_limits(monkeypatch, refresh_per_source=3)


def test_valid_token_is_not_counted_and_is_accepted_in_a_lockout(database):
    """An attacker cannot guess 256 bits, so a lockout need not log out all users behind a client IP."""
    person = sign_up()
    before = database.execute(throttles.select())
    token = refresh(person.refresh_token).json["refresh_token"]
    assert database.execute(throttles.select()) == before
    for _ in range(4):
        refresh(BAD)
    assert refresh(token).status == 200


@pytest.mark.aurora_dsql
def test_reuse_of_a_spent_token_revokes_the_session_in_a_lockout(database):
    person = sign_up()
    live = refresh(refresh(person.refresh_token).json["refresh_token"]).json["refresh_token"]
    for _ in range(4):
        refresh(BAD)
    assert refresh(person.refresh_token).status == 429
    assert recorded_failures(database)["authn_token_reuse", "spent_token_reused"] == 1
    ((revoked_at,),) = database.execute(select(sessions.c.revoked_at))
    assert revoked_at is not None
    assert refresh(live).status == 429


@pytest.mark.threat("audit-filled")
def test_rejected_tokens_of_a_revoked_session_do_not_fill_the_audit_log(database):
    person = sign_up()
    log_out(person.access_token)
    for _ in range(10):
        refresh(person.refresh_token)
    assert recorded_failures(database) == {
        ("authn_token_rejected", "session_revoked"): 3,
        ("excess_rate_limit_exceeded", "refresh_source"): 1,
    }

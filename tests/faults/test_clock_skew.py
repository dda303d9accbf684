"""Clocks that differ: each environment has its own. A wrong one must neither lock a user out nor accept an attacker.

``CLOCK_LEEWAY`` forgives 30 seconds. An environment whose clock is off does the first step, and another one the next.
"""

import pytest

from auth_common.tokens.mfa_tokens import LIFETIME
from tests.support.clocks import clock_off_by
from tests.support.events import proxy_event
from tests.support.factories import get_user, log_in, refresh
from tests.support.faults import assert_nothing_half_done, on_sqlite
from tests.support.functions import authorize, call
from tests.support.passkeys import anonymously, as_bearer, begin_login, complete_login, enrol

pytestmark = [pytest.mark.tokens, pytest.mark.fault, on_sqlite]

HOUR = 3_600


@pytest.fixture(autouse=True)
def _short_lived_tokens(environment, monkeypatch):
    monkeypatch.setenv("ACCESS_TOKEN_LIFETIME", "60")


def is_good(person, pair):
    """Whether a token passes the authorizer and the function."""
    if authorize(pair["access_token"])["policyDocument"]["Statement"][0]["Effect"] == "Deny":
        return False
    assert get_user(person.id, token=pair["access_token"]).status == 200
    return True


@pytest.mark.parametrize(("seconds", "good"), [(20, True), (40, False), (-60 - 20, True), (-60 - 40, False)])
def test_access_token_is_accepted_within_the_leeway(person, seconds, good):
    with clock_off_by(seconds):
        pair = log_in().json
    assert is_good(person, pair) is good


def test_access_token_in_the_cache_of_the_gateway_expires(person):
    context = authorize(person.access_token)["context"]
    event = proxy_event("GET", f"/users/{person.id}", path_parameters={"id": person.id}, authorizer=context)
    with clock_off_by(60 + 20):
        assert call("get_user", event).status == 200
    with clock_off_by(60 + 40):
        assert call("get_user", event).code == "invalid_token"


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (40, 401), (-LIFETIME - 20, 200), (-LIFETIME - 40, 401)])
def test_mfa_token_is_accepted_within_the_leeway(database, seconds, status):
    holder = enrol()
    with clock_off_by(seconds):
        mfa_token = holder.give_password()
    assert anonymously("/webauthn/login/begin", {"mfa_token": mfa_token}).status == status


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (-20, 200), (-5 * 60 - 1, 400)])
def test_challenge_expires_by_the_clock_of_its_completion(database, seconds, status):
    holder = enrol()
    with clock_off_by(seconds):
        ceremony = begin_login()
    assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == status


def test_failure_counted_by_a_clock_ahead_does_not_lock_the_account(person):
    with clock_off_by(20):
        assert log_in(password="something else entirely").status == 401
    assert log_in().status == 200


def test_generations_are_ordered_by_a_counter_and_not_by_clocks(database, person):
    token = person.refresh_token
    for seconds in (HOUR, -HOUR, 20, -20, 0):
        with clock_off_by(seconds):
            token = refresh(token).json["refresh_token"]
    assert_nothing_half_done(database)


def test_refresh_with_a_lost_response_is_repeated_by_a_clock_a_little_behind(person):
    with clock_off_by(20):
        child = refresh(person.refresh_token).json["refresh_token"]
    assert refresh(person.refresh_token).json["refresh_token"] == child


def test_refresh_by_a_clock_far_ahead_gives_no_longer_grace(person):
    """Else an attacker with a spent token would get the live one for as long as the clocks differ."""
    refresh("unknown")  # loads the function: what is loaded later would read the true clock
    with clock_off_by(HOUR):
        child = refresh(person.refresh_token).json["refresh_token"]
    assert refresh(person.refresh_token).code == "invalid_refresh_token"
    assert refresh(child).code == "invalid_refresh_token"


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (HOUR, 403)])
def test_login_in_the_future_is_no_recent_login(database, person, seconds, status):
    with clock_off_by(seconds):
        pair = log_in().json
    token = refresh(pair["refresh_token"]).json["access_token"]
    answer = as_bearer(token, "POST", "/webauthn/register/begin", {}, step_up_token=pair["step_up_token"])
    assert answer.status == status

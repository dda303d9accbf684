"""Environments with different clocks. A wrong clock must neither lock out a user nor accept an attacker.

``CLOCK_LEEWAY`` tolerates 30 seconds. In each test, an environment with a wrong clock handles one step, and an
environment with the right clock another one.
"""

import pytest

from auth_common.tokens.mfa_tokens import MFA_TOKEN_LIFETIME
from tests.support.clocks import clock_off_by
from tests.support.events import proxy_event
from tests.support.factories import get_user, log_in, refresh
from tests.support.faults import assert_no_partial_changes, on_sqlite
from tests.support.functions import authorize, call
from tests.support.passkeys import begin_login, call_webauthn, complete_login, enrol, post_without_token

pytestmark = [pytest.mark.tokens, pytest.mark.fault, on_sqlite]

HOUR = 3_600
MFA_TOKEN_SECONDS = int(MFA_TOKEN_LIFETIME.total_seconds())


@pytest.fixture(autouse=True)
def _short_lived_tokens(environment, monkeypatch):
    monkeypatch.setenv("ACCESS_TOKEN_LIFETIME", "60")


def is_accepted(account, pair):
    """Return whether the authorizer accepts the access token. Fail if the function disagrees."""
    if authorize(pair["access_token"])["policyDocument"]["Statement"][0]["Effect"] == "Deny":
        return False
    assert get_user(account.id, token=pair["access_token"]).status == 200
    return True


@pytest.mark.parametrize(("seconds", "accepted"), [(20, True), (40, False), (-60 - 20, True), (-60 - 40, False)])
def test_access_token_is_accepted_within_the_leeway(account, seconds, accepted):
    with clock_off_by(seconds):
        pair = log_in().json
    assert is_accepted(account, pair) is accepted


def test_access_token_in_the_gateways_cache_expires(account):
    context = authorize(account.access_token)["context"]
    event = proxy_event("GET", f"/users/{account.id}", path_parameters={"id": account.id}, authorizer=context)
    with clock_off_by(60 + 20):
        assert call("get_user", event).status == 200
    with clock_off_by(60 + 40):
        assert call("get_user", event).code == "invalid_token"


@pytest.mark.parametrize(
    ("seconds", "status"), [(20, 200), (40, 401), (-MFA_TOKEN_SECONDS - 20, 200), (-MFA_TOKEN_SECONDS - 40, 401)]
)
def test_mfa_token_is_accepted_within_the_leeway(database, seconds, status):
    holder = enrol()
    with clock_off_by(seconds):
        mfa_token = holder.get_mfa_token()
    assert post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}).status == status


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (-20, 200), (-5 * 60 - 1, 400)])
def test_challenge_expires_by_the_clock_of_its_completion(database, seconds, status):
    holder = enrol()
    with clock_off_by(seconds):
        ceremony = begin_login()
    assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == status


def test_failure_counted_by_a_fast_clock_does_not_lock_out(account):
    with clock_off_by(20):
        assert log_in(password="something else entirely").status == 401
    assert log_in().status == 200


def test_refresh_with_changing_clocks_keeps_generations_in_order(database, account):
    token = account.refresh_token
    for seconds in (HOUR, -HOUR, 20, -20, 0):
        with clock_off_by(seconds):
            token = refresh(token).json["refresh_token"]
    assert_no_partial_changes(database)


def test_refresh_repeated_by_a_slow_clock_returns_the_successor(account):
    with clock_off_by(20):
        child = refresh(account.refresh_token).json["refresh_token"]
    assert refresh(account.refresh_token).json["refresh_token"] == child


def test_refresh_by_a_fast_clock_does_not_extend_the_grace(account):
    """Otherwise an attacker with a spent token would get its successor for as long as the clocks differ."""
    refresh("unknown")  # Import the function now, because clock_off_by only changes modules that are imported.
    with clock_off_by(HOUR):
        child = refresh(account.refresh_token).json["refresh_token"]
    assert refresh(account.refresh_token).code == "invalid_refresh_token"
    assert refresh(child).code == "invalid_refresh_token"


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (HOUR, 403)])
def test_login_in_the_future_is_not_a_recent_login(database, account, seconds, status):
    with clock_off_by(seconds):
        pair = log_in().json
    token = refresh(pair["refresh_token"]).json["access_token"]
    response = call_webauthn(token, "POST", "/webauthn/register/begin", {}, step_up_token=pair["step_up_token"])
    assert response.status == status

"""POST /revoke: a refresh token is the proof that revokes its session (RFC 7009)."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from auth_common.accounts.administration import disable_user
from auth_common.database.privileges import REVOCATION_ROLE
from auth_common.database.tables import refresh_tokens, sessions, throttles
from auth_common.sessions import refresh as refreshing
from tests.support.databases import acting_as
from tests.support.events import form_event
from tests.support.factories import (
    EMAIL,
    get_user,
    is_session_accepted,
    log_in,
    log_out,
    refresh,
    revoke,
    sign_up,
)
from tests.support.functions import call
from tests.support.passkeys import enrol
from tests.support.races import (
    before_statement,
    on_each_isolation_level,
    on_each_postgresql_isolation,
    send_at_once,
)
from tests.support.throttles import recorded_failures, use_limits

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN = "rt_" + "A" * 43


def is_revoked(answer):
    return (answer.status, answer.text, answer.headers["cache-control"]) == (200, "", "no-store")


def only_revoked_at(database):
    ((revoked_at,),) = database.execute(select(sessions.c.revoked_at))
    return revoked_at


# --- Valid tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.4.1", "10.4.9")
def test_revocation_ends_the_session_with_all_its_tokens_only(database, person, log_lines):
    other = log_in().json
    newest = refresh(person.refresh_token).json
    with acting_as(REVOCATION_ROLE):
        assert is_revoked(revoke(newest["refresh_token"]))
    for token in (person.access_token, newest["access_token"]):
        assert get_user(person.id, token=token).code == "invalid_token"
    assert refresh(newest["refresh_token"]).code == "invalid_refresh_token"
    assert is_session_accepted(person.id, other)
    (event,) = [event for event in log_lines.security_events if event["name"] == "authn_token_revoked"]
    assert (event["user_id"], event["reason"], event["sessions_ended"]) == (person.id, "by_refresh_token", 1)


@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "unknown", "' OR 1=1 --", "x" * 5_000])
def test_hint_about_the_type_changes_nothing(database, person, hint):
    assert is_revoked(revoke(person.refresh_token, token_type_hint=hint))
    assert only_revoked_at(database) is not None
    assert revoke(person.access_token, token_type_hint=hint).code == "unsupported_token_type"


def test_unknown_parameters_and_a_client_id_are_ignored(database, person):
    """A stock library also sends the id of its client."""
    assert is_revoked(revoke(person.refresh_token, client_id="web", client_secret="x" * 40))
    assert only_revoked_at(database) is not None


def test_parent_in_the_grace_period_revokes_without_an_alarm(database, person, log_lines):
    """A user logs out in one tab while another tab refreshes."""
    newest = refresh(person.refresh_token).json
    assert is_revoked(revoke(person.refresh_token))
    assert not is_session_accepted(person.id, newest)
    assert log_lines.reasons("authn_token_revoked") == ["by_refresh_token"]
    assert log_lines.reasons("authn_token_reuse") == []


# --- Spent tokens -----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.5", "16.3.3")
@pytest.mark.threat("function-stolen-refresh-token")
def test_spent_token_is_a_reuse_and_ends_the_family_of_both_holders(database, person, log_lines):
    newest = refresh(refresh(person.refresh_token).json["refresh_token"]).json
    with acting_as(REVOCATION_ROLE):
        assert is_revoked(revoke(person.refresh_token))
    assert not is_session_accepted(person.id, newest)
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]
    assert log_lines.reasons("authn_token_revoked") == []
    # A repetition is no second alarm.
    assert is_revoked(revoke(person.refresh_token))
    assert recorded_failures(database)["authn_token_reuse", "spent_token_reused"] == 1


def test_parent_after_the_grace_period_is_a_reuse(person, log_lines, monkeypatch):
    refresh(person.refresh_token)
    monkeypatch.setattr(refreshing, "GRACE_PERIOD", timedelta(seconds=-1))
    assert is_revoked(revoke(person.refresh_token))
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]


# --- Tokens that are not valid ----------------------------------------------------------------------------------------


@pytest.mark.threat("function-revocation-abused")
def test_guess_at_a_token_revokes_nothing_and_is_counted(database, person, log_lines):
    """Neither an id of the session nor another spelling of its token is a proof."""
    claims = json.loads(base64.urlsafe_b64decode(person.access_token.split(".")[1] + "=="))
    token = person.refresh_token
    guesses = [
        *(UNKNOWN, "rt_", person.id, claims["sid"], claims["jti"], "x" * 20_000, "\u00e9" * 40),
        *(f" {token}", f"{token}=", token.upper(), token.removeprefix("rt_"), token[:-1]),
    ]
    assert all(is_revoked(revoke(guess)) for guess in guesses)
    assert only_revoked_at(database) is None
    assert log_lines.reasons("authn_token_rejected") == ["unknown_token"] * len(guesses)
    assert (len(guesses),) in database.execute(select(throttles.c.failures))


INVALID = {
    "session_revoked": lambda _, person: log_out(person.access_token),
    "session_expired": lambda database, _: database.execute(update(sessions).values(expires_at=LONG_AGO)),
    "token_expired": lambda database, _: database.execute(update(refresh_tokens).values(expires_at=LONG_AGO)),
    "user_not_active": lambda *_: disable_user(EMAIL),
}


@pytest.mark.parametrize("reason", INVALID)
def test_token_that_is_not_valid_gets_the_same_response_and_changes_nothing(database, person, log_lines, reason):
    INVALID[reason](database, person)
    before = [database.execute(select(table)) for table in (sessions, refresh_tokens)]
    assert is_revoked(revoke(person.refresh_token))
    assert [database.execute(select(table)) for table in (sessions, refresh_tokens)] == before
    revoked = ["session_revoked"] if reason == "user_not_active" else [reason]
    assert log_lines.reasons("authn_token_rejected") in (revoked, [reason])


@pytest.mark.asvs("9.2.2")
@pytest.mark.threat("function-revocation-abused")
def test_signed_tokens_are_an_unsupported_type_and_touch_no_database(database, person):
    holder = enrol(person)
    before = database.execute(select(sessions))
    header, claims, signature = person.access_token.split(".")
    for token in (person.access_token, holder.get_mfa_token(), f"{header}.{claims}.{signature[:-1]}A"):
        answer = revoke(token)
        assert (answer.status, answer.code) == (400, "unsupported_token_type")
    assert database.execute(select(sessions))[: len(before)] == before
    other_header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for text in (f"{other_header}.{claims}.{signature}", f"{claims}.{claims}.{signature}", f"AA.{claims}.{signature}"):
        assert is_revoked(revoke(text))


def test_mfa_and_step_up_tokens_revoke_nothing(database):
    holder = enrol()
    pair = holder.log_in().json
    before = database.execute(select(sessions.c.revoked_at))
    assert revoke(holder.get_mfa_token()).code == "unsupported_token_type"
    assert is_revoked(revoke(pair["step_up_token"]))
    assert database.execute(select(sessions.c.revoked_at))[: len(before)] == before


@pytest.mark.usefixtures("database")
def test_token_is_required():
    answer = call("revoke", form_event("/revoke", {"token_type_hint": "refresh_token"}))
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "token" in answer.json["error_description"]


# --- Limit ------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.4.1")
@pytest.mark.threat("audit-filled")
def test_tokens_that_are_not_valid_are_limited_and_valid_ones_are_not(database, monkeypatch):
    """The limit is that of a refresh: an attacker gains nothing by another route."""
    use_limits(monkeypatch, refresh_per_source=3)
    person = sign_up()
    assert [revoke(UNKNOWN).status for _ in range(4)] == [200, 200, 200, 429]
    answer = revoke(UNKNOWN)
    assert (answer.status, answer.code) == (429, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert refresh(UNKNOWN).status == 429
    assert is_revoked(revoke(person.refresh_token))
    assert only_revoked_at(database) is not None
    assert recorded_failures(database) == {
        ("authn_token_rejected", "unknown_token"): 3,
        ("excess_rate_limit_exceeded", "refresh_source"): 1,
    }


# --- Concurrent requests ----------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.3.4", "10.4.9")
@pytest.mark.threat("function-race")
@on_each_isolation_level
def test_revocation_concurrent_with_refreshes_leaves_no_live_token(database, isolation):
    person = sign_up()
    refreshes = [lambda: refresh(person.refresh_token)] * 4
    *answers, revocation = send_at_once(*refreshes, lambda: revoke(person.refresh_token))
    assert is_revoked(revocation)
    assert {answer.status for answer in answers} <= {200, 401}
    for pair in (person.pair, *(answer.json for answer in answers if answer.status == 200)):
        assert not is_session_accepted(person.id, pair)


@on_each_isolation_level
def test_concurrent_revocations_of_one_token_are_recorded_once(database, isolation, log_lines):
    person = sign_up()
    answers = send_at_once(*[lambda: revoke(person.refresh_token)] * 6)
    assert all(map(is_revoked, answers))
    assert log_lines.reasons("authn_token_revoked") == ["by_refresh_token"]


@on_each_postgresql_isolation
def test_session_that_ends_while_its_token_is_revoked_is_recorded_once(database, isolation, log_lines):
    person = sign_up()
    with before_statement("UPDATE sessions", lambda: log_out(person.access_token)):
        assert is_revoked(revoke(person.refresh_token))
    assert log_lines.reasons("authn_token_revoked") == ["by_owner"]
    assert log_lines.reasons("authn_token_rejected") == ["session_revoked"]

"""Attacks with a stolen access token: challenges of other sessions, and attempts to stay in the account."""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from auth_common.database.tables import audit_events, challenges, passkeys, sessions
from auth_common.throttling.limits import HOURLY_CHALLENGES_PER_SESSION
from tests.support.factories import NEW_PASSWORD, PASSWORD, change_password, erase, log_in, log_out, refresh, step_up
from tests.support.functions import step_up_token_of
from tests.support.passkeys import (
    begin_and_answer_registration,
    call_webauthn,
    complete_registration,
    enrol,
    post_without_token,
)
from tests.support.races import (
    before_statement,
    on_each_isolation_level,
    on_each_postgresql_isolation,
    send_at_once,
)
from tests.support.step_ups import call_on_passkey, request_passkey_registration, revoke_other_sessions
from tests.support.throttles import expire_counts

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

# --- Challenges -------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.7.2")
@pytest.mark.threat("function-passkey-replay")
def test_challenge_is_accepted_once_for_its_own_session_and_ceremony(database, holder, token):
    elsewhere = holder.log_in().json["access_token"]
    body = holder.begin_and_answer_step_up(token)
    assert step_up(elsewhere, body).code == "invalid_challenge"
    assert step_up(token, body).code == "invalid_challenge"
    body = holder.begin_and_answer_step_up(token)
    assert step_up(token, body).status == 200
    assert step_up(token, body).code == "invalid_challenge"
    # Challenges of other ceremonies are rejected too.
    login, credential = holder.begin_and_answer_login(holder.get_mfa_token())
    assert step_up(token, {"challenge_id": login["challenge_id"], "credential": credential}).code == "invalid_challenge"
    body = holder.begin_and_answer_step_up(token)
    assert post_without_token("/webauthn/login/complete", body).code == "invalid_challenge"
    assert call_webauthn(token, "POST", "/webauthn/register/complete", body).code == "invalid_challenge"


def test_copied_authenticator_is_rejected(holder, token):
    first, second = holder.begin_and_answer_step_up(token), holder.begin_and_answer_step_up(token)
    assert step_up(token, second).status == 200
    assert step_up(token, first).code == "step_up_failed"


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("begin", [step_up, request_passkey_registration])
def test_session_begins_at_most_thirty_ceremonies_of_a_kind_an_hour(database, holder, begin):
    token, other = (holder.log_in().json["access_token"] for _ in range(2))
    before = database.count(challenges)
    assert {begin(token).status for _ in range(HOURLY_CHALLENGES_PER_SESSION)} == {200}
    answer = begin(token)
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert 3_500 < int(answer.headers["retry-after"]) <= 3_600
    assert database.count(challenges) == before + HOURLY_CHALLENGES_PER_SESSION
    assert begin(other).status == 200
    assert step_up(token, {"current_password": PASSWORD}).status == 200
    expire_counts(database)
    assert holder.step_up(token).status == 200
    assert begin(token).status == 200


def test_registrations_without_a_step_up_are_not_counted(person):
    """Otherwise an attacker with the access token alone could keep its user from adding a passkey."""
    codes = {
        request_passkey_registration(person.access_token, step_up_token=None).code
        for _ in range(HOURLY_CHALLENGES_PER_SESSION + 1)
    }
    assert codes == {"step_up_required"}
    assert request_passkey_registration(person.access_token).status == 200


def respond_to_step_up(token):
    return step_up(token, {"challenge_id": str(uuid4()), "credential": {}})


def respond_to_registration(token):
    return complete_registration(token, {"challenge_id": str(uuid4())}, {})


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.4.1")
@pytest.mark.threat("audit-filled")
@pytest.mark.parametrize("respond", [respond_to_step_up, respond_to_registration])
def test_session_responds_to_at_most_thirty_invalid_challenges_an_hour(database, holder, token, respond):
    codes = {respond(token).code for _ in range(HOURLY_CHALLENGES_PER_SESSION)}
    assert codes == {"invalid_challenge"}
    before = database.count(audit_events)
    assert [respond(token).status for _ in range(5)] == [429] * 5
    assert database.count(audit_events) == before + 1  # The first rejection of the lockout is recorded.
    assert holder.step_up(token).status == 200
    assert complete_registration(token, *begin_and_answer_registration(token)).status == 201


# --- Attempts to stay in the account ----------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
@pytest.mark.threat("function-stolen-access-token")
def test_stolen_access_token_adds_renames_and_deletes_no_passkey(database, person):
    """Even directly after the login: a recent login alone is not enough."""
    stolen: dict[str, Any] = {"step_up_token": None}
    assert request_passkey_registration(person.access_token, **stolen).code == "step_up_required"
    holder = enrol(person)
    token = holder.log_in().json["access_token"]
    for answer in (
        request_passkey_registration(token, **stolen),
        call_on_passkey(holder, token, "PATCH", {"name": "Mine"}, **stolen),
        call_on_passkey(holder, token, "DELETE", **stolen),
        change_password(person, token=token, step_up_token=None),
        revoke_other_sessions(token, **stolen),
    ):
        assert (answer.status, answer.code) == (403, "step_up_required")
    assert database.count(passkeys) == 1


BAD_TOKENS = ["", "su_", "su_" + "A" * 43, "x" * 10_000, "\u00e9", "null", "Bearer x"]


def test_step_up_token_is_accepted_for_its_own_session_only(database, holder, other):
    here, there = holder.log_in().json, holder.log_in().json
    token, own = here["access_token"], here["step_up_token"]
    others = [there["step_up_token"], step_up_token_of(other.access_token), here["refresh_token"], token]
    for step_up_token in [*BAD_TOKENS, *others, own[:-1], own.upper()]:
        answer = request_passkey_registration(token, step_up_token=step_up_token)
        assert (answer.status, answer.code) == (403, "step_up_required"), step_up_token
    assert refresh(own).code == "invalid_refresh_token"
    assert post_without_token("/webauthn/login/begin", {"mfa_token": own}).code == "invalid_mfa_token"
    assert request_passkey_registration(token).status == 200


def test_registration_is_completed_by_its_own_valid_session_only(database, person):
    token, elsewhere = person.access_token, log_in().json["access_token"]
    begun = [begin_and_answer_registration(token) for _ in range(4)]
    assert complete_registration(elsewhere, *begun[0]).code == "invalid_challenge"
    assert complete_registration(token, *begun[0]).code == "invalid_challenge"
    assert change_password(person).status == 204
    token = refresh(person.refresh_token).json["access_token"]
    assert complete_registration(token, *begun[1]).code == "invalid_challenge"
    log_out(token)
    assert complete_registration(token, *begun[2]).code == "invalid_token"
    token = log_in(password=NEW_PASSWORD).json["access_token"]
    assert complete_registration(token, *begun[3]).code == "invalid_challenge"
    assert database.count(passkeys) == 0


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_only_one_of_two_concurrent_registrations_adds_a_passkey(database, isolation, person):
    """When both began, the password was enough. After the first one, the account has a passkey, and it is not."""
    token = person.access_token
    begun = [begin_and_answer_registration(token) for _ in range(2)]
    answers = send_at_once(*(partial(complete_registration, token, *each) for each in begun))
    assert sorted(answer.status for answer in answers) == [201, 403]
    assert database.count(passkeys) == 1


@on_each_postgresql_isolation
@pytest.mark.threat("function-race")
def test_registration_that_begins_while_a_passkey_is_added_is_rejected(database, isolation, person):
    """Its step-up used the password, which is not enough any more when its challenge is stored."""
    token = person.access_token
    earlier = begin_and_answer_registration(token)
    with before_statement("SELECT", lambda: complete_registration(token, *earlier), naming="FOR UPDATE"):
        begun = begin_and_answer_registration(token)
    assert database.count(passkeys) == 1
    assert complete_registration(token, *begun).code == "step_up_required"
    assert database.count(passkeys) == 1


@on_each_postgresql_isolation
@pytest.mark.parametrize("begin", [step_up, request_passkey_registration])
def test_user_who_is_erased_while_a_ceremony_begins_leaves_no_challenge(database, isolation, holder, begin):
    token = holder.log_in().json["access_token"]
    with before_statement("SELECT", erase, naming="FOR UPDATE"):
        assert begin(token).code == "invalid_token"
    assert [row.user_id for row in database.execute(challenges.select()) if row.user_id] == []


@on_each_isolation_level
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("attempt", range(2))
def test_step_up_concurrent_with_a_password_change_leaves_no_token(database, isolation, person, attempt):
    token = person.access_token
    proved, changed = send_at_once(
        lambda: step_up(token, {"current_password": PASSWORD}), lambda: change_password(person)
    )
    assert changed.status == 204
    assert proved.status in {200, 401}
    assert [row.step_up_hash for row in database.execute(select(sessions.c.step_up_hash))] == [None]


def test_erased_user_gets_no_challenge(holder, token, log_lines):
    mfa_token = holder.get_mfa_token()
    erase()
    assert post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}).code == "invalid_mfa_token"
    assert step_up(token).code == "invalid_token"
    assert request_passkey_registration(token).code == "invalid_token"
    assert log_lines.reasons("authn_token_rejected")[-2:] == ["session_unknown"] * 2

"""Attacks with a stolen access token: guesses at the user's password, and attempts to stay in the account for good."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from auth_common.db.tables import challenges, passkeys, sessions
from auth_common.services.throttle_limits import STEP_UP_CHALLENGES
from tests.support.factories import (
    NEW_PASSWORD,
    PASSWORD,
    call_as,
    change_password,
    erase,
    get_user,
    is_alive,
    log_in,
    log_out,
    refresh,
    sign_up,
    step_up,
)
from tests.support.functions import step_up_token_of
from tests.support.outages import UNAVAILABLE, failing
from tests.support.passkeys import (
    ORIGIN,
    anonymously,
    answered_registration,
    as_bearer,
    complete_registration,
    enrol,
)
from tests.support.races import burst, everywhere, together
from tests.support.throttles import WRONG, let_counts_end, rows

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

CEILING = 5
GUESS = {"current_password": WRONG}


@pytest.fixture
def holder(database):
    return enrol()


def guess_step_up(account, number=0):
    return step_up(account.access_token, GUESS, sourceIp=f"192.0.2.{number % 10}")


def guess_change(account, number=0):
    return change_password(account, current=WRONG, sourceIp=f"192.0.2.{number % 10}")


def guess_either(account, number=0):
    return (guess_step_up if number % 2 else guess_change)(account, number)


each_guess = pytest.mark.parametrize("guess", [guess_step_up, guess_change, guess_either])


def failed_proofs(database):
    return sorted(row.failed_proofs or 0 for row in database.execute(select(sessions.c.failed_proofs)))


def names_of(log_lines):
    return Counter(event["name"] for event in log_lines.security_events)


def end_others(token, **options):
    return call_as(token, "sessions", "DELETE", "/sessions", query={"keep_current": "true"}, **options)


# --- Guesses at the password ------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.4.1", "6.3.1")
@pytest.mark.threat("function-password-guessing", "function-lockout-of-others")
@each_guess
def test_guesses_with_a_stolen_session_revoke_it_and_lock_nobody_out(database, person, log_lines, guess):
    stolen = person
    answers = [guess(stolen, number) for number in range(100)]
    codes = [(answer.status, answer.code) for answer in answers]
    assert codes == [(400, "invalid_current_password")] * CEILING + [(401, "invalid_token")] * 95
    assert not is_alive(person.id, {"access_token": stolen.access_token, "refresh_token": stolen.refresh_token})
    assert names_of(log_lines)["authn_step_up_fail_max"] == 1
    # The user logs in, also from a client IP of the attacker, revokes sessions and changes the password.
    own = log_in(sourceIp="192.0.2.1").json
    assert end_others(own["access_token"]).status == 204
    assert change_password(person, token=own["access_token"]).status == 204
    assert log_in(password=NEW_PASSWORD, sourceIp="198.51.100.9").status == 200


@pytest.mark.asvs("6.3.1")
@each_guess
def test_guesses_in_a_session_do_not_count_at_the_login(database, person, guess):
    before = rows(database)
    for number in range(CEILING):
        guess(person, number)
    assert rows(database) == before


def test_login_that_is_locked_out_does_not_stop_a_step_up(person):
    for number in range(60):
        log_in(password=WRONG, sourceIp=f"192.0.2.{number}")
    assert log_in(sourceIp="198.51.100.9").status == 429
    token = refresh(person.refresh_token).json["access_token"]
    assert step_up(token, {"current_password": PASSWORD}, sourceIp="198.51.100.9").status == 200
    assert end_others(token).status == 204


@pytest.mark.asvs("6.3.1")
def test_guesses_in_one_session_leave_the_users_other_sessions_alone(person):
    own = log_in().json
    for number in range(CEILING):
        guess_either(person, number)
    assert step_up(own["access_token"], {"current_password": PASSWORD}).status == 200
    assert is_alive(person.id, own)


@pytest.mark.aurora_dsql
def test_right_proof_resets_the_count(database, person):
    for _ in range(2):
        for number in range(CEILING - 1):
            assert guess_either(person, number).status == 400
        assert step_up(person.access_token, {"current_password": PASSWORD}).status == 200
    for number in range(CEILING - 1):
        assert guess_either(person, number).status == 400
    assert change_password(person).status == 204
    assert failed_proofs(database) == [0]


@everywhere
@pytest.mark.asvs("2.4.1", "15.4.2")
@pytest.mark.parametrize("guess", [guess_step_up, guess_either])
def test_burst_of_guesses_does_not_exceed_the_ceiling(database, isolation, person, hash_costs, guess):
    hash_costs.clear()
    statuses = burst(20, lambda number: guess(person, number))
    assert statuses.keys() <= {400, 401, 429, 503}
    assert len(hash_costs) <= CEILING
    assert statuses[400] <= CEILING
    for number in range(CEILING):
        guess(person, number)
    assert len(hash_costs) <= CEILING + (statuses[503] and CEILING)
    assert get_user(person.id, token=person.access_token).status == 401


@pytest.mark.asvs("2.4.1")
def test_session_at_its_ceiling_has_no_password_scored_or_hashed(database, person, hash_costs):
    database.execute(update(sessions).values(failed_proofs=CEILING))
    hash_costs.clear()
    for answer in (
        change_password(person),
        change_password(person, new="short"),  # 422 if it were scored
        step_up(person.access_token, {"current_password": PASSWORD}),
    ):
        assert (answer.status, answer.code) == (429, "too_many_attempts")
        assert answer.headers["retry-after"] == "10"
    assert hash_costs == []


def test_input_errors_and_server_errors_are_not_counted(database, person):
    for error, status in ((UNAVAILABLE, 503), (ZeroDivisionError(), 500)):
        with failing("UPDATE sessions SET step_up_hash", error=error):
            for _ in range(CEILING + 1):
                assert step_up(person.access_token, {"current_password": PASSWORD}).status == status
    for _ in range(CEILING + 1):
        assert change_password(person, new="short").status == 422
        assert step_up(person.access_token, {"challenge_id": "x"}).status == 422
    assert failed_proofs(database) == [0]
    assert step_up(person.access_token, {"current_password": PASSWORD}).status == 200


# --- Answers of passkeys ----------------------------------------------------------------------------------------------


def broken(credential):
    credential["response"]["signature"] = "AAAA"
    return credential


@pytest.fixture
def token(holder):
    return holder.log_in().json["access_token"]


def wrong_signature(holder, token):
    body = holder.answered_step_up(token)
    return step_up(token, {**body, "credential": broken(body["credential"])})


def wrong_origin(holder, token):
    holder.authenticator.origin = "https://evil.example"
    answer = holder.step_up(token)
    holder.authenticator.origin = ORIGIN
    return answer


def without_user_verification(holder, token):
    holder.authenticator.user_verified = False
    answer = holder.step_up(token)
    holder.authenticator.user_verified = True
    return answer


def passkey_of_another_user(holder, token):
    begun = step_up(token).json
    other = enrol(sign_up(f"{begun['challenge_id']}@example.com"))
    options = {**begun["options"], "allowCredentials": []}
    body = {"challenge_id": begun["challenge_id"], "credential": other.authenticator.authenticate(options)}
    return step_up(token, body)


def unknown_passkey(holder, token):
    body = holder.answered_step_up(token)
    return step_up(token, {**body, "credential": {**body["credential"], "id": "AQID", "rawId": "AQID"}})


WRONG_ANSWERS = [wrong_signature, wrong_origin, without_user_verification, passkey_of_another_user, unknown_passkey]


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_wrong_answers_of_a_passkey_count_and_the_fifth_revokes_the_session(holder, token, log_lines, answer):
    for _ in range(CEILING):
        response = answer(holder, token)
        assert (response.status, response.code in {"step_up_failed", "password_required"}) == (400, True)
    assert step_up(token).code == "invalid_token"
    assert names_of(log_lines)["authn_step_up_fail_max"] == 1
    assert names_of(log_lines)["authn_step_up_fail"] == CEILING
    assert holder.log_in().status == 200


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.7.2")
@pytest.mark.threat("function-passkey-replay")
def test_challenge_counts_once_for_its_own_session_and_ceremony(database, holder, token):
    elsewhere = holder.log_in().json["access_token"]
    body = holder.answered_step_up(token)
    assert step_up(elsewhere, body).code == "invalid_challenge"
    assert step_up(token, body).code == "invalid_challenge"
    body = holder.answered_step_up(token)
    assert step_up(token, body).status == 200
    assert step_up(token, body).code == "invalid_challenge"
    # Of other ceremonies.
    login, credential = holder.answered_login(holder.give_password())
    assert step_up(token, {"challenge_id": login["challenge_id"], "credential": credential}).code == "invalid_challenge"
    body = holder.answered_step_up(token)
    assert anonymously("/webauthn/login/complete", body).code == "invalid_challenge"
    assert as_bearer(token, "POST", "/webauthn/register/complete", body).code == "invalid_challenge"


def test_expired_challenges_are_not_counted_and_tell_nothing_of_the_password(database, holder, token):
    bodies = [holder.answered_step_up(token) for _ in range(2 * (CEILING + 1))]
    database.execute(update(challenges).values(expires_at=datetime.now(UTC)))
    for number, body in enumerate(bodies):
        password = PASSWORD if number % 2 else WRONG
        assert step_up(token, {**body, "current_password": password}).code == "invalid_challenge"
    assert max(failed_proofs(database)) == 0
    assert holder.step_up(token).status == 200


def test_copied_authenticator_does_not_step_up(holder, token):
    first, second = holder.answered_step_up(token), holder.answered_step_up(token)
    assert step_up(token, second).status == 200
    assert step_up(token, first).code == "step_up_failed"


@pytest.mark.asvs("2.4.1")
def test_session_begins_thirty_challenges_an_hour(database, holder, token):
    other = holder.log_in().json["access_token"]
    assert {step_up(token).status for _ in range(STEP_UP_CHALLENGES)} == {200}
    answer = step_up(token)
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert 3_500 < int(answer.headers["retry-after"]) <= 3_600
    assert step_up(other).status == 200
    assert step_up(token, {"current_password": PASSWORD}).status == 200
    let_counts_end(database)
    assert holder.step_up(token).status == 200


# --- To stay in the account for good ----------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
@pytest.mark.threat("function-stolen-access-token")
def test_stolen_access_token_adds_renames_and_deletes_no_passkey(database, person):
    """Right after the login, when an old rule let a recent login do so."""
    stolen: dict[str, Any] = {"step_up_token": None}
    assert as_bearer(person.access_token, "POST", "/webauthn/register/begin", {}, **stolen).code == "step_up_required"
    holder = enrol(person)
    token = holder.log_in().json["access_token"]
    path, options = f"/webauthn/credentials/{holder.passkey_id}", {"path_parameters": {"id": holder.passkey_id}}
    for answer in (
        as_bearer(token, "POST", "/webauthn/register/begin", {}, **stolen),
        as_bearer(token, "PATCH", path, {"name": "Mine"}, **options, **stolen),
        as_bearer(token, "DELETE", path, **options, **stolen),
        change_password(person, token=token, step_up_token=None),
        end_others(token, **stolen),
    ):
        assert (answer.status, answer.code) == (403, "step_up_required")
    assert database.count(passkeys) == 1


@pytest.mark.aurora_dsql
@pytest.mark.threat("function-stolen-access-token")
def test_passkey_of_an_attacker_is_not_added_to_an_account_that_has_one(database, holder, token):
    """The attacker knows the password and has the session, and not the passkey."""
    assert step_up(token, {"current_password": PASSWORD}).status == 200
    assert as_bearer(token, "POST", "/webauthn/register/begin", {}).code == "step_up_required"
    assert database.count(passkeys) == 1
    assert end_others(token).status == 204


BAD_TOKENS = ["", "su_", "su_" + "A" * 43, "x" * 10_000, "\u00e9", "null", "Bearer x"]


def test_step_up_token_that_is_not_the_sessions_opens_nothing(database, holder, person_elsewhere):
    here, there = holder.log_in().json, holder.log_in().json
    token = here["access_token"]
    others = [there["step_up_token"], step_up_token_of(person_elsewhere.access_token), here["refresh_token"], token]
    for step_up_token in [*BAD_TOKENS, *others, here["step_up_token"][:-1], here["step_up_token"].upper()]:
        answer = as_bearer(token, "POST", "/webauthn/register/begin", {}, step_up_token=step_up_token)
        assert (answer.status, answer.code) == (403, "step_up_required"), step_up_token
    assert as_bearer(token, "POST", "/webauthn/register/begin", {}).status == 200


@pytest.fixture
def person_elsewhere(database):
    return sign_up("other@example.com")


def test_step_up_token_is_no_other_token(person):
    token = str(step_up_token_of(person.access_token))
    assert refresh(token).code == "invalid_refresh_token"
    assert anonymously("/webauthn/login/begin", {"mfa_token": token}).code == "invalid_mfa_token"


def test_registration_is_completed_by_its_own_live_session_only(database, person):
    elsewhere = log_in().json["access_token"]
    ceremony, credential = answered_registration(person.access_token)
    assert complete_registration(elsewhere, ceremony, credential).code == "invalid_challenge"
    ceremony, credential = answered_registration(person.access_token)
    log_out(person.access_token)
    assert complete_registration(person.access_token, ceremony, credential).code == "invalid_token"
    assert complete_registration(elsewhere, ceremony, credential).code == "invalid_challenge"
    assert database.count(passkeys) == 0


def test_registration_from_before_a_change_of_the_password_is_not_completed(database, person):
    ceremony, credential = answered_registration(person.access_token)
    assert change_password(person).status == 204
    token = refresh(person.refresh_token).json["access_token"]
    assert complete_registration(token, ceremony, credential).code == "invalid_challenge"
    assert database.count(passkeys) == 0


@everywhere
@pytest.mark.threat("function-race")
def test_of_two_registrations_at_once_one_adds_its_passkey(database, isolation, person):
    """The second was begun when the password was proof enough, and the account has a passkey now."""
    begun = [answered_registration(person.access_token) for _ in range(2)]
    answers = together(
        *(
            lambda ceremony=ceremony, credential=credential: complete_registration(
                person.access_token, ceremony, credential
            )
            for ceremony, credential in begun
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 403]
    assert database.count(passkeys) == 1


@everywhere
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("attempt", range(2))
def test_step_up_at_the_moment_of_a_change_of_the_password_leaves_no_token(database, isolation, person, attempt):
    token = person.access_token
    proved, changed = together(
        lambda: step_up(token, {"current_password": PASSWORD}),
        lambda: change_password(person),
    )
    assert changed.status == 204
    assert proved.status in {200, 401}
    assert [row.step_up_hash for row in database.execute(select(sessions.c.step_up_hash))] == [None]


def test_user_who_is_erased_meanwhile_gets_no_challenge(database, holder, token, monkeypatch):
    mfa_token = holder.give_password()
    erase()
    assert anonymously("/webauthn/login/begin", {"mfa_token": mfa_token}).code == "invalid_mfa_token"
    assert step_up(token).code == "invalid_token"
    assert as_bearer(token, "POST", "/webauthn/register/begin", {}).code == "invalid_token"

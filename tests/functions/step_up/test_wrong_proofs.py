"""Wrong proofs of identity in a session. The fifth revokes the session (docs/decisions/0018)."""

from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import update

from auth_common.database.tables import challenges
from auth_common.errors import InvalidCurrentPassword, TooManyAttempts
from auth_common.events.security_events import SecurityEvent
from auth_common.sessions.principal import Principal
from auth_common.sessions.proof_counter import counted_proof
from tests.support.clocks import clock_off_by
from tests.support.factories import (
    NEW_PASSWORD,
    PASSWORD,
    change_password,
    get_user,
    is_session_accepted,
    log_in,
    refresh,
    session_id,
    sign_up,
    step_up,
)
from tests.support.outages import UNAVAILABLE, failing_statements
from tests.support.passkeys import ORIGIN, enrol
from tests.support.races import on_each_isolation_level, send_burst, while_a_password_is_checked
from tests.support.step_ups import (
    MAX_WRONG_PROOFS,
    crash_after_password_check,
    failed_proofs,
    guess_either,
    guess_password_change,
    guess_step_up,
    revoke_other_sessions,
    send_during_password_check,
)
from tests.support.throttles import WRONG_PASSWORD, counter_rows

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

#: How long a proof is counted as pending if its environment crashes.
PENDING_SECONDS = 10


def prove(account):
    return step_up(account.access_token, {"current_password": PASSWORD})


def names_of(log_lines):
    return Counter(event["name"] for event in log_lines.security_events)


# --- The fifth wrong proof --------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.4.1", "6.3.1")
@pytest.mark.threat("function-password-guessing", "function-lockout-of-others")
@pytest.mark.parametrize("guess", [guess_step_up, guess_password_change, guess_either])
def test_guesses_with_a_stolen_session_revoke_that_session_only(database, person, log_lines, guess):
    stolen, own = person, log_in().json
    before = counter_rows(database)
    answers = [guess(stolen, number) for number in range(100)]
    codes = [(answer.status, answer.code) for answer in answers]
    assert codes == [(400, "invalid_current_password")] * MAX_WRONG_PROOFS + [(401, "invalid_token")] * 95
    assert not is_session_accepted(
        person.id, {"access_token": stolen.access_token, "refresh_token": stolen.refresh_token}
    )
    assert names_of(log_lines)["authn_step_up_fail_max"] == 1
    # The counters of the login and the user's own session are unchanged.
    assert [row for row in counter_rows(database) if row in before] == before
    assert revoke_other_sessions(own["access_token"]).status == 204
    assert change_password(person, token=own["access_token"]).status == 204
    assert log_in(password=NEW_PASSWORD, sourceIp="192.0.2.1").status == 200


def test_step_up_is_accepted_while_the_login_is_locked(person):
    for number in range(60):
        log_in(password=WRONG_PASSWORD, sourceIp=f"192.0.2.{number}")
    assert log_in(sourceIp="198.51.100.9").status == 429
    token = refresh(person.refresh_token).json["access_token"]
    assert step_up(token, {"current_password": PASSWORD}, sourceIp="198.51.100.9").status == 200
    assert revoke_other_sessions(token).status == 204


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("succeed", [prove, change_password])
def test_right_proof_resets_the_count(database, person, succeed):
    for number in range(MAX_WRONG_PROOFS - 1):
        assert guess_either(person, number).status == 400
    assert failed_proofs(database) == [MAX_WRONG_PROOFS - 1]
    assert succeed(person).status in {200, 204}
    assert failed_proofs(database) == [0]


# --- Concurrent proofs ------------------------------------------------------------------------------------------------


@on_each_isolation_level
@pytest.mark.asvs("2.4.1", "15.4.2")
@pytest.mark.parametrize("guess", [guess_step_up, guess_either])
def test_burst_of_wrong_proofs_checks_five_and_revokes_the_session(database, isolation, person, hash_costs, guess):
    hash_costs.clear()
    statuses = send_burst(10, lambda number: guess(person, number))
    assert statuses.keys() <= {400, 401, 429, 503}
    assert len(hash_costs) <= MAX_WRONG_PROOFS
    assert statuses[400] <= MAX_WRONG_PROOFS
    if statuses[503]:  # A conflict kept a wrong proof from being recorded. The caller does not learn that it was wrong.
        with clock_off_by(PENDING_SECONDS + 1):
            for number in range(MAX_WRONG_PROOFS - statuses[400]):
                guess(person, number)
    assert get_user(person.id, token=person.access_token).status == 401


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("position", [0, MAX_WRONG_PROOFS - 1])
def test_one_wrong_proof_of_five_in_flight_revokes_nothing(database, person, monkeypatch, position):
    requests = [partial(prove, person)] * MAX_WRONG_PROOFS
    requests[position] = partial(guess_step_up, person)
    answers = send_during_password_check(monkeypatch, requests)
    assert Counter(answer.status for answer in answers) == {200: MAX_WRONG_PROOFS - 1, 400: 1}
    assert get_user(person.id, token=person.access_token).status == 200


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("succeed", [prove, change_password])
def test_wrong_proof_in_flight_during_a_success_counts_afterwards(database, person, monkeypatch, succeed):
    for number in range(MAX_WRONG_PROOFS - 2):
        guess_either(person, number)
    wrong = partial(guess_step_up, person)
    answers = send_during_password_check(monkeypatch, [wrong, partial(succeed, person)])
    assert (answers[0].status in {200, 204}, answers[1].status) == (True, 400)
    assert failed_proofs(database) == [1]


@pytest.mark.aurora_dsql
def test_success_does_not_remove_another_proof_in_flight(database, person, monkeypatch):
    answers = []

    def succeed_and_prove_again():
        assert prove(person).status == 200
        answers.extend(send_during_password_check(monkeypatch, [partial(prove, person)] * MAX_WRONG_PROOFS))

    while_a_password_is_checked(monkeypatch, succeed_and_prove_again)
    assert guess_step_up(person).status == 400
    assert [answer.status for answer in answers] == [429, *[200] * (MAX_WRONG_PROOFS - 1)]


@pytest.mark.asvs("2.4.1")
def test_sixth_proof_in_flight_is_rejected_without_a_hash(database, person, monkeypatch, hash_costs):
    hash_costs.clear()
    # Otherwise the change to a short password would return 422.
    rejected = [partial(change_password, person, new="short"), partial(prove, person)]
    for request in rejected:
        first, *others = send_during_password_check(
            monkeypatch, [*[partial(prove, person)] * MAX_WRONG_PROOFS, request]
        )
        assert (first.status, first.code) == (429, "too_many_attempts")
        assert first.headers["retry-after"] == str(PENDING_SECONDS)
        assert {answer.status for answer in others} == {200}
    assert len(hash_costs) == len(rejected) * MAX_WRONG_PROOFS


# --- Requests that are not counted ------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
def test_crashed_proofs_are_not_counted_after_their_timeout(database, person, monkeypatch):
    for _ in range(MAX_WRONG_PROOFS):
        crash_after_password_check(monkeypatch, partial(prove, person))
    assert prove(person).status == 429
    with clock_off_by(PENDING_SECONDS + 1):
        assert [prove(person).status for _ in range(2)] == [200, 200]
    assert failed_proofs(database) == [0]


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("crash", [prove, guess_step_up], ids=["right proof", "wrong proof"])
def test_crash_beside_four_wrong_proofs_leaves_the_fifth_to_revoke(database, person, monkeypatch, log_lines, crash):
    for number in range(MAX_WRONG_PROOFS - 1):
        guess_either(person, number)
    crash_after_password_check(monkeypatch, partial(crash, person))
    assert guess_step_up(person).status == 429
    assert get_user(person.id, token=person.access_token).status == 200
    with clock_off_by(PENDING_SECONDS + 1):
        assert guess_step_up(person).status == 400
        assert guess_step_up(person).status == 401
    assert names_of(log_lines)["authn_step_up_fail_max"] == 1


@pytest.mark.parametrize("is_wrong", [True, False])
def test_proof_that_ends_after_its_timeout_removes_no_other_proof(database, person, is_wrong):
    caller = Principal(
        user_id=UUID(person.id), session_id=UUID(session_id(person.access_token)), token_version=0, expires_at=2**40
    )
    with ExitStack() as stack:
        late = counted_proof(caller)
        proof = late.__enter__()
        stack.enter_context(clock_off_by(PENDING_SECONDS + 1))
        for _ in range(MAX_WRONG_PROOFS - 1):
            stack.enter_context(counted_proof(caller))
        if is_wrong:
            proof.reject(SecurityEvent.AUTHN_STEP_UP_FAIL, reason="wrong_password")
        else:
            stack.enter_context(counted_proof(caller))
        error = InvalidCurrentPassword()
        assert not late.__exit__(InvalidCurrentPassword, error, None)
        with pytest.raises(TooManyAttempts), counted_proof(caller):
            pass
    assert failed_proofs(database) == [int(is_wrong)]


def test_input_errors_and_server_errors_are_not_counted(database, person):
    for error, status in ((UNAVAILABLE, 503), (ZeroDivisionError(), 500)):
        with failing_statements("UPDATE sessions SET step_up_hash", error=error):
            for _ in range(MAX_WRONG_PROOFS + 1):
                assert prove(person).status == status
    for _ in range(MAX_WRONG_PROOFS + 1):
        assert change_password(person, new="short").status == 422
        assert step_up(person.access_token, {"challenge_id": "x"}).status == 422
    assert failed_proofs(database) == [0]
    assert prove(person).status == 200


def test_expired_challenges_do_not_show_whether_the_password_is_right(database, holder, token):
    bodies = [holder.begin_and_answer_step_up(token) for _ in range(2 * (MAX_WRONG_PROOFS + 1))]
    database.execute(update(challenges).values(expires_at=datetime.now(UTC)))
    for number, body in enumerate(bodies):
        password = PASSWORD if number % 2 else WRONG_PASSWORD
        assert step_up(token, {**body, "current_password": password}).code == "invalid_challenge"
    assert max(failed_proofs(database)) == 0
    assert holder.step_up(token).status == 200


# --- Responses of passkeys --------------------------------------------------------------------------------------------


def wrong_signature(holder, token):
    body = holder.begin_and_answer_step_up(token)
    body["credential"]["response"]["signature"] = "AAAA"
    return step_up(token, body)


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
    body = holder.begin_and_answer_step_up(token)
    return step_up(token, {**body, "credential": {**body["credential"], "id": "AQID", "rawId": "AQID"}})


WRONG_RESPONSES = [wrong_signature, wrong_origin, without_user_verification, passkey_of_another_user, unknown_passkey]


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize("answer", WRONG_RESPONSES)
def test_fifth_wrong_response_of_a_passkey_revokes_the_session(holder, token, log_lines, answer):
    for _ in range(MAX_WRONG_PROOFS):
        response = answer(holder, token)
        assert (response.status, response.code in {"step_up_failed", "password_required"}) == (400, True)
    assert step_up(token).code == "invalid_token"
    assert names_of(log_lines)["authn_step_up_fail_max"] == 1
    assert names_of(log_lines)["authn_step_up_fail"] == MAX_WRONG_PROOFS
    assert holder.log_in().status == 200

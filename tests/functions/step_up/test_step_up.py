"""POST /step-up: how users prove their identity again, which requests the token allows, and when it is deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from auth_common.database.tables import audit_events, sessions
from tests.support.events import json_event
from tests.support.factories import (
    PASSWORD,
    change_password,
    erase,
    expire_step_ups,
    log_in,
    refresh,
    session_id,
    sign_up,
    step_up,
)
from tests.support.functions import authorize, call, step_up_token_of
from tests.support.passkeys import begin_and_answer_registration, complete_registration, enrol
from tests.support.races import before_reading, while_a_passkey_is_verified, while_a_password_is_checked
from tests.support.step_ups import (
    MAX_WRONG_PROOFS,
    call_on_passkey,
    events_named,
    failed_proofs,
    request_passkey_registration,
    revoke_other_sessions,
)
from tests.support.throttles import WRONG_PASSWORD

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]


# --- The offered methods ----------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
def test_methods_depend_on_the_passkeys_of_the_account(person):
    answer = step_up(person.access_token)
    assert (answer.status, answer.json) == (200, {"methods": ["password"]})
    enrol(person)
    body = step_up(person.access_token).json
    assert body.keys() == {"methods", "challenge_id", "options"}
    assert body["methods"] == ["webauthn", "password"]
    assert len(body["options"]["allowCredentials"]) == 1
    assert body["options"]["userVerification"] == "preferred"


# --- The token --------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
def test_password_allows_sensitive_requests_without_passkeys(database, person, log_lines):
    expire_step_ups(database)
    answer = step_up(person.access_token, {"current_password": PASSWORD})
    assert answer.status == 200
    assert answer.json == {"step_up_token": answer.json["step_up_token"], "expires_in": 600}
    assert request_passkey_registration(person.access_token).status == 200
    (event,) = [event for event in log_lines.security_events if event["name"] == "authn_step_up_success"]
    assert (event["user_id"], event["amr"]) == (person.id, ["pwd"])
    assert event["session_id"] == session_id(person.access_token)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
def test_passkey_with_user_verification_allows_sensitive_requests(holder, token):
    assert request_passkey_registration(token, step_up_token=None).code == "step_up_required"
    assert holder.step_up(token, current_password=WRONG_PASSWORD).code == "invalid_current_password"
    assert request_passkey_registration(token).code == "step_up_required"
    assert holder.step_up(token).status == 200
    assert request_passkey_registration(token).status == 200


def test_each_login_returns_a_token_and_a_refresh_does_not(database):
    account = sign_up()
    assert step_up_token_of(account.access_token)
    holder = enrol(account)
    for pair in (holder.log_in().json, holder.log_in_with_passkey_alone().json):
        assert request_passkey_registration(pair["access_token"], step_up_token=pair["step_up_token"]).status == 200
    renewed = refresh(pair["refresh_token"]).json
    assert "step_up_token" not in renewed
    # The token belongs to the session, so it is accepted after a refresh.
    assert request_passkey_registration(renewed["access_token"], step_up_token=pair["step_up_token"]).status == 200


def test_new_token_replaces_the_earlier_one(person):
    first = step_up_token_of(person.access_token)
    second = step_up(person.access_token, {"current_password": PASSWORD}).json["step_up_token"]
    assert request_passkey_registration(person.access_token, step_up_token=first).code == "step_up_required"
    assert request_passkey_registration(person.access_token, step_up_token=second).status == 200


@pytest.mark.aurora_dsql
def test_step_up_does_not_change_amr_and_auth_time_of_the_session(database, holder, token):
    logins = select(sessions.c.id, sessions.c.amr, sessions.c.auth_time).order_by(sessions.c.id)
    before = database.execute(logins)
    holder.step_up(token, current_password=PASSWORD)
    assert database.execute(logins) == before


# --- The proofs -------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
@pytest.mark.threat("function-stolen-access-token")
def test_password_alone_with_passkeys_allows_only_revoking_sessions(holder, token):
    assert step_up(token, {"current_password": PASSWORD}).status == 200
    for answer in (
        request_passkey_registration(token),
        call_on_passkey(holder, token, "PATCH", {"name": "Mine"}),
        call_on_passkey(holder, token, "DELETE"),
        change_password(holder.account, token=token),
    ):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
    assert revoke_other_sessions(token).status == 204


WEAK = {
    "without user verification now": ({}, {"user_verified": False}),
    "without user verification at the registration": ({"user_verified": False}, {"user_verified": True}),
    "never with user verification": ({"user_verified": False}, {}),
}


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize(("at_registration", "now"), WEAK.values(), ids=WEAK)
def test_passkey_without_user_verification_needs_the_password(database, log_lines, at_registration, now):
    holder = enrol(**at_registration)
    token = holder.account.access_token
    for name, value in now.items():
        setattr(holder.authenticator, name, value)
    answer = holder.step_up(token)
    assert (answer.status, answer.code) == (400, "password_required")
    assert request_passkey_registration(token).code == "step_up_required"
    assert holder.step_up(token, current_password=WRONG_PASSWORD).code == "invalid_current_password"
    assert holder.step_up(token, current_password=PASSWORD).status == 200
    assert request_passkey_registration(token).status == 200
    assert events_named(log_lines, "authn_step_up_fail") == [
        ("authn_step_up_fail", "passkey_not_enough"),
        ("authn_step_up_fail", "wrong_password"),
    ]


INCONSISTENT = {
    "counter": ({"counts": False}, "sign_count_not_advanced"),
    "backup eligibility": ({"backup_eligible": False, "backed_up": False}, "backup_eligibility_changed"),
}


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.5.7")
@pytest.mark.parametrize(("traits", "reason"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_inconsistent_synced_passkey_needs_the_password_too(database, log_lines, traits, reason):
    """The response is genuine, so it is not a wrong proof. A copied key would look the same, so it is not enough."""
    holder = enrol(backup_eligible=True, backed_up=True)
    pair = holder.log_in().json
    token = refresh(pair["refresh_token"]).json["access_token"]
    for name, value in traits.items():
        setattr(holder.authenticator, name, value)
    answers = [holder.step_up(token) for _ in range(MAX_WRONG_PROOFS + 1)]
    assert {(answer.status, answer.code) for answer in answers} == {(400, "password_required")}
    assert request_passkey_registration(token).code == "step_up_required"
    assert holder.step_up(token, current_password=WRONG_PASSWORD).code == "invalid_current_password"
    assert max(failed_proofs(database)) == 1
    assert holder.step_up(token, current_password=PASSWORD).status == 200
    assert request_passkey_registration(token).status == 200
    signals = [event for event in log_lines.security_events if event["name"] == "authn_passkey_inconsistent"]
    assert [event["accepted"] for event in signals] == [*["no"] * (MAX_WRONG_PROOFS + 1), "yes"]
    assert {(event["reason"], event["passkey_id"]) for event in signals} == {(reason, holder.passkey_id)}


BAD_BODIES = [
    ({"challenge_id": "x"}, "body"),
    ({"credential": {}}, "body"),
    ({"current_password": PASSWORD, "challenge_id": "x"}, "body"),
    ({"current_password": ["x"]}, "current_password"),
    ({"current_password": "x" * 1_025}, "current_password"),
    ({"challenge_id": "x" * 257, "credential": {}}, "challenge_id"),
    ({"challenge_id": "x", "credential": "x"}, "credential"),
    ({"methods": ["password"]}, "methods"),
    ([], "body"),
]


def test_bad_input_is_rejected_and_not_counted(database, person):
    context = authorize(person.access_token)["context"]
    for body, field in BAD_BODIES:
        answer = call("step_up", json_event("POST", "/step-up", body, authorizer=context))
        assert (answer.status, answer.fields) == (422, {field}), body
    assert [row.failed_proofs for row in database.execute(select(sessions))] == [None]
    assert step_up(person.access_token, {"current_password": PASSWORD}).status == 200


# --- When the token is deleted ----------------------------------------------------------------------------------------


def changed_password(holder, token):
    assert change_password(holder.account, token=token).status == 204


def added_passkey(_holder, token):
    assert complete_registration(token, *begin_and_answer_registration(token)).status == 201


def removed(holder, token):
    assert call_on_passkey(holder, token, "DELETE").status == 204


def removed_passkey(holder, token):
    assert complete_registration(token, *begin_and_answer_registration(token)).status == 201
    assert holder.step_up(token).status == 200
    removed(holder, token)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize("change", [changed_password, added_passkey, removed_passkey])
def test_change_of_password_or_passkeys_deletes_the_token(database, holder, change):
    pair = holder.log_in().json
    change(holder, pair["access_token"])
    used = step_up_token_of(pair["access_token"])
    renewed = refresh(pair["refresh_token"]).json["access_token"]
    assert revoke_other_sessions(renewed, step_up_token=used).code == "step_up_required"


def test_rename_and_revocation_of_sessions_keep_the_token(holder):
    token = holder.log_in().json["access_token"]
    for _ in range(2):
        assert call_on_passkey(holder, token, "PATCH", {"name": "Laptop"}).status == 204
        assert revoke_other_sessions(token).status == 204


@pytest.mark.aurora_dsql
def test_token_expires_after_ten_minutes(database, person):
    (row,) = database.execute(select(sessions.c.step_up_expires_at))
    remaining = row.step_up_expires_at - datetime.now(UTC)
    assert timedelta(minutes=9) < remaining <= timedelta(minutes=10)
    # A token is also rejected if the clock of the environment that issued it was far ahead.
    for lifetime in (timedelta(0), timedelta(minutes=30)):
        database.execute(update(sessions).values(step_up_expires_at=datetime.now(UTC) + lifetime))
        assert request_passkey_registration(person.access_token).code == "step_up_required"


@pytest.mark.aurora_dsql
def test_password_changed_during_its_proof_gives_no_token(database, person, monkeypatch):
    elsewhere = log_in().json["access_token"]
    while_a_password_is_checked(monkeypatch, lambda: change_password(person, token=elsewhere))
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    # In the same session too. Otherwise the token would be stored after the change that deletes it.
    person = sign_up("other@example.com")
    while_a_password_is_checked(monkeypatch, lambda: change_password(person))
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    token = refresh(person.refresh_token).json["access_token"]
    assert revoke_other_sessions(token, step_up_token=step_up_token_of(person.access_token)).code == "step_up_required"


@pytest.mark.aurora_dsql
def test_account_erased_during_its_proof_gets_no_token(database, person, monkeypatch):
    while_a_password_is_checked(monkeypatch, erase)
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    assert step_up(person.access_token).code == "invalid_token"


def test_account_erased_before_its_proof_gets_no_token(database, person):
    with before_reading("password_hash", erase):
        assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"


@pytest.mark.aurora_dsql
def test_passkey_deleted_during_its_proof_gives_no_token(database, holder, monkeypatch):
    token = holder.log_in().json["access_token"]
    proof = holder.begin_and_answer_step_up(token)
    while_a_passkey_is_verified(monkeypatch, lambda: removed(holder, token))
    assert step_up(token, proof).code == "step_up_failed"
    assert request_passkey_registration(token).code == "step_up_required"


# --- Storage and security events --------------------------------------------------------------------------------------


def test_database_and_audit_log_contain_no_token(database, person):
    token = step_up(person.access_token, {"current_password": PASSWORD}).json["step_up_token"]
    step_up(person.access_token, {"current_password": WRONG_PASSWORD})
    stored = [*database.execute(select(sessions)), *database.execute(select(audit_events.c.record))]
    assert not any(secret in str(row) for row in stored for secret in (token, PASSWORD, WRONG_PASSWORD))
    names = select(audit_events.c.name).where(audit_events.c.name.like("authn_step_up%")).order_by(audit_events.c.name)
    assert [row.name for row in database.execute(names)] == ["authn_step_up_fail", "authn_step_up_success"]

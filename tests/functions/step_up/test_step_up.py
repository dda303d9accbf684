"""POST /step-up: how a user proves their identity again, what the token opens, and when it ends."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from auth_common.db.tables import audit_events, sessions
from tests.support.events import json_event
from tests.support.factories import (
    PASSWORD,
    call_as,
    change_password,
    erase,
    let_step_ups_expire,
    log_in,
    refresh,
    session_id,
    sign_up,
    step_up,
)
from tests.support.functions import authorize, call, step_up_token_of
from tests.support.passkeys import (
    ORIGIN,
    Holder,
    answered_registration,
    as_bearer,
    begin_registration,
    complete_registration,
    enrol,
)
from tests.support.races import before_a_read_of, while_a_passkey_is_verified, while_a_password_is_checked
from tests.support.throttles import WRONG
from tools.software_authenticator import SoftwareAuthenticator

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]


@pytest.fixture
def holder(database):
    return enrol()


@pytest.fixture
def token(holder):
    """The access token of a session that was opened with a passkey and has no step-up token any more."""
    pair = holder.log_in().json
    return refresh(pair["refresh_token"]).json["access_token"]


def open_with(token, step_up_token=...):
    """Begin to add a passkey, which every account needs a step-up for."""
    options = {} if step_up_token is ... else {"step_up_token": step_up_token}
    return as_bearer(token, "POST", "/webauthn/register/begin", {}, **options)


def end_others(token, **options):
    return call_as(token, "sessions", "DELETE", "/sessions", query={"keep_current": "true"}, **options)


def events(log_lines, *names):
    return [(event["name"], event.get("reason")) for event in log_lines.security_events if event["name"] in names]


# --- The methods ------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
def test_methods_of_an_account_without_passkeys_are_the_password(person):
    answer = step_up(person.access_token)
    assert (answer.status, answer.json) == (200, {"methods": ["password"]})


@pytest.mark.aurora_dsql
def test_methods_of_an_account_with_passkeys_come_with_a_challenge(holder, token):
    body = step_up(token).json
    assert body["methods"] == ["webauthn", "password"]
    assert len(body["options"]["allowCredentials"]) == 1
    assert body["options"]["userVerification"] == "preferred"
    assert body.keys() == {"methods", "challenge_id", "options"}


# --- The token --------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
def test_password_of_an_account_without_passkeys_opens_sensitive_routes(database, person, log_lines):
    let_step_ups_expire(database)
    answer = step_up(person.access_token, {"current_password": PASSWORD})
    assert answer.status == 200
    assert answer.json == {"step_up_token": answer.json["step_up_token"], "expires_in": 600}
    assert open_with(person.access_token).status == 200
    (event,) = [event for event in log_lines.security_events if event["name"] == "authn_step_up_success"]
    assert (event["user_id"], event["amr"]) == (person.id, ["pwd"])
    assert event["session_id"] == session_id(person.access_token)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
def test_passkey_that_verifies_its_user_opens_sensitive_routes(holder, token):
    assert open_with(token, None).code == "step_up_required"
    assert holder.step_up(token).status == 200
    assert open_with(token).status == 200


def test_each_login_returns_a_token_and_a_refresh_does_not(database):
    account = sign_up()
    assert step_up_token_of(account.access_token)
    holder = enrol(account)
    for pair in (holder.log_in().json, holder.log_in_alone().json):
        assert open_with(pair["access_token"], pair["step_up_token"]).status == 200
    renewed = refresh(pair["refresh_token"]).json
    assert "step_up_token" not in renewed
    # The token belongs to the session, so a refresh does not end it.
    assert open_with(renewed["access_token"], pair["step_up_token"]).status == 200


def test_first_passkey_after_a_login_needs_no_other_proof(person):
    ceremony, credential = answered_registration(person.access_token)
    assert complete_registration(person.access_token, ceremony, credential).status == 201


def test_new_token_replaces_the_earlier_one(person):
    first = step_up_token_of(person.access_token)
    second = step_up(person.access_token, {"current_password": PASSWORD}).json["step_up_token"]
    assert open_with(person.access_token, first).code == "step_up_required"
    assert open_with(person.access_token, second).status == 200


@pytest.mark.aurora_dsql
def test_step_up_changes_neither_the_sessions_methods_nor_its_time(database, holder, token):
    logins = select(sessions.c.id, sessions.c.amr, sessions.c.auth_time).order_by(sessions.c.id)
    before = database.execute(logins)
    holder.step_up(token, current_password=PASSWORD)
    assert database.execute(logins) == before


# --- The proofs -------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.1")
def test_password_alone_opens_only_the_end_of_sessions_for_an_account_with_passkeys(holder, token):
    assert step_up(token, {"current_password": PASSWORD}).status == 200
    path = f"/webauthn/credentials/{holder.passkey_id}"
    rename = {"body": {"name": "Mine"}, "path_parameters": {"id": holder.passkey_id}}
    for answer in (
        open_with(token),
        as_bearer(token, "PATCH", path, **rename),
        as_bearer(token, "DELETE", path, path_parameters={"id": holder.passkey_id}),
        change_password(holder.account, token=token),
    ):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
    assert end_others(token).status == 204


WEAK = {
    "without user verification now": ({}, {"user_verified": False}),
    "without user verification at the registration": ({"user_verified": False}, {"user_verified": True}),
    "never with user verification": ({"user_verified": False}, {}),
}


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize(("at_registration", "now"), WEAK.values(), ids=WEAK)
def test_passkey_that_may_not_log_in_alone_needs_the_password_too(database, log_lines, at_registration, now):
    person = sign_up()
    device = SoftwareAuthenticator(origin=ORIGIN, **at_registration)
    ceremony = begin_registration(person.access_token)
    added = complete_registration(person.access_token, ceremony, device.register(ceremony["options"])).json
    holder = Holder(person, added["id"], device)
    for name, value in now.items():
        setattr(device, name, value)
    token = person.access_token
    answer = holder.step_up(token)
    assert (answer.status, answer.code) == (400, "password_required")
    assert open_with(token).code == "step_up_required"
    assert holder.step_up(token, current_password=WRONG).code == "invalid_current_password"
    assert holder.step_up(token, current_password=PASSWORD).status == 200
    assert open_with(token).status == 200
    assert events(log_lines, "authn_step_up_fail") == [
        ("authn_step_up_fail", "passkey_not_enough"),
        ("authn_step_up_fail", "wrong_password"),
    ]


def test_password_that_comes_with_a_passkey_must_be_right(holder, token):
    assert holder.step_up(token, current_password=WRONG).code == "invalid_current_password"
    assert open_with(token).code == "step_up_required"


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


# --- What ends it -----------------------------------------------------------------------------------------------------


def changed_password(holder, token):
    assert change_password(holder.account, token=token).status == 204


def added_passkey(_holder, token):
    ceremony, credential = answered_registration(token)
    assert complete_registration(token, ceremony, credential).status == 201


def removed_passkey(holder, token):
    ceremony, credential = answered_registration(token)
    assert complete_registration(token, ceremony, credential).status == 201
    assert holder.step_up(token).status == 200
    path = f"/webauthn/credentials/{holder.passkey_id}"
    assert as_bearer(token, "DELETE", path, path_parameters={"id": holder.passkey_id}).status == 204


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize("change", [changed_password, added_passkey, removed_passkey])
def test_change_of_what_the_user_logs_in_with_ends_the_token(database, holder, change):
    pair = holder.log_in().json
    change(holder, pair["access_token"])
    used = step_up_token_of(pair["access_token"])
    renewed = refresh(pair["refresh_token"]).json["access_token"]
    assert end_others(renewed, step_up_token=used).code == "step_up_required"


def test_rename_and_end_of_sessions_do_not_end_the_token(holder):
    token = holder.log_in().json["access_token"]
    path, options = f"/webauthn/credentials/{holder.passkey_id}", {"path_parameters": {"id": holder.passkey_id}}
    for _ in range(2):
        assert as_bearer(token, "PATCH", path, {"name": "Laptop"}, **options).status == 204
        assert end_others(token).status == 204


@pytest.mark.aurora_dsql
def test_token_expires_after_ten_minutes(database, person):
    (row,) = database.execute(select(sessions.c.step_up_expires_at))
    remaining = row.step_up_expires_at - datetime.now(UTC)
    assert timedelta(minutes=9) < remaining <= timedelta(minutes=10)
    database.execute(update(sessions).values(step_up_expires_at=datetime.now(UTC)))
    assert open_with(person.access_token).code == "step_up_required"


def test_token_of_an_environment_whose_clock_is_ahead_is_rejected(database, person):
    ahead = datetime.now(UTC) + timedelta(minutes=30)
    database.execute(update(sessions).values(step_up_expires_at=ahead))
    assert open_with(person.access_token).code == "step_up_required"


@pytest.mark.aurora_dsql
def test_proof_by_a_password_that_is_changed_meanwhile_gives_no_token(database, person, monkeypatch):
    elsewhere = log_in().json["access_token"]
    while_a_password_is_checked(monkeypatch, lambda: change_password(person, token=elsewhere))
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    # In one session too: the token would outlive the change that ends it.
    person = sign_up("other@example.com")
    while_a_password_is_checked(monkeypatch, lambda: change_password(person))
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    token = refresh(person.refresh_token).json["access_token"]
    assert end_others(token, step_up_token=step_up_token_of(person.access_token)).code == "step_up_required"


@pytest.mark.aurora_dsql
def test_account_that_is_erased_while_a_proof_is_checked_gets_no_token(database, person, monkeypatch):
    while_a_password_is_checked(monkeypatch, erase)
    assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"
    assert step_up(person.access_token).code == "invalid_token"


def test_account_that_is_erased_before_its_proof_is_checked_gets_no_token(database, person):
    with before_a_read_of("users.password_hash", erase):
        assert step_up(person.access_token, {"current_password": PASSWORD}).code == "invalid_token"


@pytest.mark.aurora_dsql
def test_passkey_that_is_deleted_during_its_step_up_gives_no_token(database, holder, monkeypatch):
    token = holder.log_in().json["access_token"]
    proof = holder.answered_step_up(token)
    path = f"/webauthn/credentials/{holder.passkey_id}"

    def delete():
        assert as_bearer(token, "DELETE", path, path_parameters={"id": holder.passkey_id}).status == 204

    while_a_passkey_is_verified(monkeypatch, delete)
    assert step_up(token, proof).code == "step_up_failed"
    assert open_with(token).code == "step_up_required"


# --- What is stored and recorded --------------------------------------------------------------------------------------


def test_database_and_audit_log_hold_no_token(database, person):
    token = step_up(person.access_token, {"current_password": PASSWORD}).json["step_up_token"]
    step_up(person.access_token, {"current_password": WRONG})
    stored = [*database.execute(select(sessions)), *database.execute(select(audit_events.c.record))]
    assert not any(secret in str(row) for row in stored for secret in (token, PASSWORD, WRONG))
    names = select(audit_events.c.name).where(audit_events.c.name.like("authn_step_up%")).order_by(audit_events.c.name)
    assert [row.name for row in database.execute(names)] == ["authn_step_up_fail", "authn_step_up_success"]

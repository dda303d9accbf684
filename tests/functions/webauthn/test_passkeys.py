"""Passkeys as their owner uses them: added, shown, renamed, deleted, and logged in with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from auth_common.db.tables import passkeys, sessions, users
from auth_common.errors import NotFound
from auth_common.security import mfa_tokens
from auth_common.security.access_tokens import verify_access_token
from auth_common.services import accounts
from auth_common.services.challenges import LIFETIME
from tests.support.factories import (
    PASSWORD,
    get_user,
    is_alive,
    let_step_ups_expire,
    log_in,
    refresh,
    session_id,
    sign_up,
    step_up,
)
from tests.support.functions import Answer, authorize
from tests.support.passkeys import (
    ORIGIN,
    Holder,
    anonymously,
    as_bearer,
    begin_login,
    begin_registration,
    complete_login,
    complete_registration,
    enrol,
)
from tests.support.races import together, while_a_password_is_checked
from tools.software_authenticator import AAGUID, Algorithm, NoCredential, SoftwareAuthenticator, to_base64url

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def passkeys_of(token):
    return as_bearer(token, "GET", "/webauthn/credentials").json


def change(token, method, passkey_id, body=None) -> Answer:
    path = f"/webauthn/credentials/{passkey_id}"
    return as_bearer(token, method, path, body, path_parameters={"id": passkey_id})


# --- Adding one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attestation", ["none", "packed"])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_keys_of_each_algorithm_register_and_log_in(database, algorithm, attestation):
    holder = enrol(algorithms=(algorithm,), attestation=attestation)
    assert holder.log_in().status == 200
    assert holder.log_in_alone().status == 200


@pytest.mark.aurora_dsql
def test_the_owner_sees_what_they_recognise_a_passkey_by(holder):
    token = holder.log_in().json["access_token"]
    shown = passkeys_of(token)
    (passkey,) = shown["items"]
    assert shown["next_cursor"] is None
    assert passkey.pop("created_at") <= passkey.pop("last_used_at")
    (key,) = holder.authenticator.credentials
    assert passkey == {
        "id": holder.passkey_id,
        "credential_id": to_base64url(key.id),
        "name": "Passkey",
        "transports": ["internal"],
        "aaguid": str(AAGUID),
        "backed_up": False,
    }


def test_a_passkey_has_the_name_that_its_owner_gives_it(database):
    account = sign_up()
    device = SoftwareAuthenticator(origin=ORIGIN)
    ceremony = begin_registration(account.access_token)
    credential = device.register(ceremony["options"])
    added = complete_registration(account.access_token, ceremony, credential, name="Laptop")
    assert added.json["name"] == "Laptop"
    holder = Holder(account, added.json["id"], device)
    token = holder.log_in().json["access_token"]
    assert change(token, "PATCH", added.json["id"], {"name": " Old laptop "}).status == 204
    assert [item["name"] for item in passkeys_of(token)["items"]] == ["Old laptop"]
    assert change(token, "PATCH", added.json["id"], {"name": "\x00"}).fields == {"name"}


def test_an_authenticator_is_not_registered_twice(holder):
    token = holder.log_in().json["access_token"]
    with pytest.raises(NoCredential, match="registered already"):
        holder.authenticator.register(begin_registration(token)["options"])


@pytest.mark.asvs("14.2.6")
def test_the_options_hold_nothing_personal_but_what_the_person_is_shown(database):
    account = sign_up()
    options = begin_registration(account.access_token)["options"]
    assert options["user"].keys() == {"id", "name", "displayName"}
    assert (options["user"]["name"], options["user"]["displayName"]) == (account.email, "Test Person")
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "preferred"
    assert options["timeout"] == LIFETIME.total_seconds() * 1000


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.3.2")
def test_ten_passkeys_are_enough_at_the_beginning_and_at_the_end(database, holder):
    token = holder.log_in().json["access_token"]
    waiting = begin_registration(token)
    (row,) = database.execute(passkeys.select())
    for _ in range(9):
        copy = {**row._asdict(), "id": uuid4(), "credential_id": uuid4().bytes}
        database.execute(passkeys.insert().values(**copy))
    answer = as_bearer(token, "POST", "/webauthn/register/begin", {})
    assert (answer.status, answer.code) == (409, "too_many_passkeys")
    credential = SoftwareAuthenticator(origin=ORIGIN).register(waiting["options"])
    assert complete_registration(token, waiting, credential).code == "too_many_passkeys"
    assert database.count(passkeys) == 10


# --- Other sessions (ASVS 5.0 7.4.3) ----------------------------------------------------------------------------------


def revocations(log_lines):
    return [
        (event["user_id"], event["reason"], event["sessions_ended"])
        for event in log_lines.security_events
        if event["name"] == "authn_token_revoked"
    ]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.4.3")
def test_the_first_passkey_ends_the_other_sessions_which_a_password_alone_has_opened(person, other, log_lines):
    elsewhere = log_in().json
    enrol(person)
    assert not is_alive(person.id, elsewhere)
    assert is_alive(person.id, {"access_token": person.access_token, "refresh_token": person.refresh_token})
    assert get_user(other.id, token=other.access_token).status == 200
    assert revocations(log_lines) == [(person.id, "passkey_added", 1)]


@pytest.mark.asvs("7.4.3")
def test_another_passkey_ends_the_other_sessions_too(holder, log_lines):
    here, elsewhere = holder.log_in().json, holder.log_in().json
    enrol(replace(holder.account, access_token=here["access_token"]))
    assert not is_alive(holder.account.id, elsewhere)
    assert is_alive(holder.account.id, here)
    # The session of the password that added the first passkey is the other one.
    assert revocations(log_lines) == [(holder.account.id, "passkey_added", 2)]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.5.6", "7.4.3")
def test_deleting_a_passkey_ends_the_sessions_that_it_may_have_opened(holder, log_lines):
    here, thiefs = holder.log_in().json, holder.log_in_alone().json
    assert change(here["access_token"], "DELETE", holder.passkey_id).status == 204
    assert not is_alive(holder.account.id, thiefs)
    assert is_alive(holder.account.id, here)
    # The session of the password that added the passkey is the other one.
    assert revocations(log_lines) == [(holder.account.id, "passkey_removed", 2)]


def test_what_fails_ends_no_sessions(holder, log_lines):
    here, elsewhere = holder.log_in().json, holder.log_in().json
    token = here["access_token"]
    assert change(token, "DELETE", str(uuid4())).code == "not_found"
    assert change(token, "PATCH", holder.passkey_id, {"name": "Laptop"}).status == 204
    credential = holder.authenticator.authenticate(begin_login()["options"])
    assert complete_registration(token, begin_registration(token), credential).code == "passkey_rejected"
    assert is_alive(holder.account.id, elsewhere)
    assert revocations(log_lines) == []


@pytest.mark.aurora_dsql
def test_a_password_that_is_being_checked_while_the_first_passkey_comes_opens_no_session(database, person, monkeypatch):
    """Else that session, of one factor, would appear just after all of its kind were ended."""
    before = database.count(sessions)
    while_a_password_is_checked(monkeypatch, lambda: enrol(person))
    assert log_in().json.keys() >= {"mfa_token"}
    assert database.count(sessions) == before


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("attempt", range(3))
def test_a_login_with_a_passkey_that_is_being_deleted_leaves_no_session(database, holder, attempt):
    here = holder.log_in().json["access_token"]
    ceremonies = [begin_login() for _ in range(6)]
    credentials = [holder.authenticator.authenticate(ceremony["options"]) for ceremony in ceremonies]
    logins = [
        partial(complete_login, ceremony, credential)
        for ceremony, credential in zip(ceremonies, credentials, strict=True)
    ]
    *answers, deletion = together(*logins, lambda: change(here, "DELETE", holder.passkey_id))
    assert deletion.status == 204
    assert {answer.status for answer in answers} <= {200, 401}
    live = select(sessions.c.id).where(sessions.c.revoked_at.is_(None))
    assert [str(row.id) for row in database.execute(live)] == [session_id(here)]


# --- Logging in -------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.6")
@pytest.mark.parametrize(("backup_eligible", "key"), [(False, "hwk"), (True, "swk")])
def test_amr_says_how_the_person_logged_in(database, backup_eligible, key):
    holder = enrol(backup_eligible=backup_eligible, backed_up=backup_eligible)
    assert verify_access_token(holder.account.access_token).amr == ("pwd",)
    assert verify_access_token(holder.log_in().json["access_token"]).amr == ("pwd", key, "user", "mfa")
    assert verify_access_token(holder.log_in_alone().json["access_token"]).amr == (key, "user", "mfa")


@pytest.mark.asvs("10.3.4")
def test_a_refresh_keeps_how_and_when_the_person_logged_in(holder):
    pair = holder.log_in().json
    before = verify_access_token(pair["access_token"])
    after = verify_access_token(refresh(pair["refresh_token"]).json["access_token"])
    assert (after.amr, after.auth_time) == (before.amr, before.auth_time)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.4")
@pytest.mark.threat("function-second-factor-bypass")
def test_the_password_alone_is_not_enough_any_more(holder, log_lines):
    answer = log_in(holder.account.email)
    assert answer.status == 200
    assert answer.json.keys() == {"mfa_required", "mfa_token", "expires_in", "methods"}
    assert (answer.json["mfa_required"], answer.json["expires_in"], answer.json["methods"]) == (True, 300, ["webauthn"])
    assert log_lines.security_events[-1]["name"] == "authn_login_first_factor"


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
def test_a_wrong_password_never_tells_that_there_is_a_passkey(holder):
    assert log_in(holder.account.email, PASSWORD + "!").json.keys() == log_in("nobody@example.com").json.keys()


def test_a_second_factor_is_asked_of_the_users_own_passkeys(holder):
    allowed = begin_login(holder.give_password())["options"]
    (key,) = holder.authenticator.credentials
    assert [descriptor["id"] for descriptor in allowed["allowCredentials"]] == [to_base64url(key.id)]
    assert allowed["userVerification"] == "preferred"
    alone = begin_login()["options"]
    assert (alone["allowCredentials"], alone["userVerification"]) == ([], "required")


# --- The mfa_token ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.3.1")
def test_nothing_in_the_answer_of_the_first_step_authenticates(holder):
    token = holder.give_password()
    assert authorize(token)["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert refresh(token).status == 401
    assert anonymously("/webauthn/login/complete", {"challenge_id": token[:64], "credential": {}}).status == 400


def test_an_access_token_is_no_mfa_token(holder):
    answer = anonymously("/webauthn/login/begin", {"mfa_token": holder.account.access_token})
    assert (answer.status, answer.code) == (401, "invalid_mfa_token")


def test_an_expired_mfa_token_opens_nothing(holder):
    past = datetime.now(UTC) - timedelta(seconds=mfa_tokens.LIFETIME + 31)
    expired = mfa_tokens.issue_mfa_token(user_id=UUID(holder.account.id), token_version=0, now=past)
    answer = anonymously("/webauthn/login/begin", {"mfa_token": expired})
    assert (answer.status, answer.code) == (401, "invalid_mfa_token")
    assert authorize(expired)["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert refresh(expired).status == 401


def test_an_mfa_token_of_a_user_who_is_gone_begins_nothing(database, holder):
    """An old key file and a new database, for example."""
    token = mfa_tokens.issue_mfa_token(user_id=uuid4(), token_version=0, now=datetime.now(UTC))
    assert anonymously("/webauthn/login/begin", {"mfa_token": token}).code == "invalid_mfa_token"


@pytest.mark.usefixtures("environment")
def test_text_that_is_no_token_is_no_mfa_token():
    for token in ("", "x", "a.b.c"):
        assert anonymously("/webauthn/login/begin", {"mfa_token": token}).code == "invalid_mfa_token", token


def test_what_ends_the_users_tokens_ends_a_login_that_has_begun(holder):
    token = holder.give_password()
    begun = begin_login(token)
    accounts.end_sessions_of(holder.account.email)
    assert anonymously("/webauthn/login/begin", {"mfa_token": token}).code == "invalid_mfa_token"
    answer = complete_login(begun, holder.authenticator.authenticate(begun["options"]))
    assert (answer.status, answer.code) == (401, "passkey_login_failed")


@pytest.mark.asvs("6.3.4")
def test_a_disabled_user_does_not_get_in(holder):
    accounts.disable_user(holder.account.email)
    assert holder.log_in_alone().code == "passkey_login_failed"


# --- Step-up (ASVS 5.0 7.5.1): more in tests/functions/step_up --------------------------------------------------------


@pytest.mark.asvs("7.5.1", "8.2.4", "10.3.4")
@pytest.mark.threat("function-stolen-access-token")
def test_an_expired_step_up_adds_no_passkey(database):
    account = sign_up()
    let_step_ups_expire(database)
    answer = as_bearer(account.access_token, "POST", "/webauthn/register/begin", {})
    assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["password"])
    assert "www-authenticate" not in answer.headers
    assert database.count(passkeys) == 0


@pytest.mark.asvs("7.5.1")
def test_an_expired_step_up_adds_renames_and_deletes_no_passkey(database, holder):
    token = holder.log_in().json["access_token"]
    let_step_ups_expire(database)
    for answer in (
        change(token, "DELETE", holder.passkey_id),
        change(token, "PATCH", holder.passkey_id, {"name": "Laptop"}),
        as_bearer(token, "POST", "/webauthn/register/begin", {}),
    ):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
    assert [item["name"] for item in passkeys_of(token)["items"]] == ["Passkey"]
    assert change(holder.log_in().json["access_token"], "DELETE", holder.passkey_id).status == 204


@pytest.mark.asvs("7.5.1", "10.3.4")
def test_a_step_up_by_password_neither_adds_nor_deletes_a_passkey_of_an_account_that_has_one(database, log_lines):
    account = sign_up()
    waiting = begin_registration(account.access_token)
    holder = enrol(account)
    step_up(account.access_token, {"current_password": PASSWORD})
    for answer in (
        as_bearer(account.access_token, "POST", "/webauthn/register/begin", {}),
        complete_registration(
            account.access_token, waiting, SoftwareAuthenticator(origin=ORIGIN).register(waiting["options"])
        ),
        change(account.access_token, "DELETE", holder.passkey_id),
    ):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
    assert [event["reason"] for event in log_lines.security_events if event["name"] == "authz_fail"] == [
        "step_up_without_passkey",
        "passkey_added_meanwhile",
        "step_up_without_passkey",
    ]
    assert change(holder.log_in().json["access_token"], "DELETE", holder.passkey_id).status == 204
    assert log_in(account.email).json.keys() >= {"access_token"}


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.2")
def test_somebody_elses_passkey_is_not_found_and_stays(database, holder):
    other = enrol(sign_up("other@example.com"))
    token = other.log_in().json["access_token"]
    for passkey_id in (holder.passkey_id, str(uuid4()), "x"):
        assert change(token, "DELETE", passkey_id).code == "not_found"
        assert change(token, "PATCH", passkey_id, {"name": "Mine"}).code == "not_found"
    assert database.count(passkeys) == 2
    assert [item["name"] for item in passkeys_of(holder.log_in().json["access_token"])["items"]] == ["Passkey"]


@pytest.mark.asvs("6.4.4", "6.5.6")
def test_an_operator_removes_lost_passkeys(database, holder):
    other = enrol(sign_up("other@example.com"))
    accounts.remove_passkeys(holder.account.email)
    assert get_user(holder.account.id, token=holder.account.access_token).status == 401
    assert log_in(holder.account.email).json.keys() >= {"access_token"}
    assert other.log_in().status == 200


def test_there_must_be_a_user_to_remove_passkeys_of(database):
    with pytest.raises(NotFound):
        accounts.remove_passkeys("nobody@example.com")
    assert database.count(users) == 0

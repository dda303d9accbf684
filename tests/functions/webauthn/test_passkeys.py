"""A user's passkeys: registration, list, new names, deletion and login."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from auth_common.accounts import administration as accounts
from auth_common.database.tables import passkeys, sessions
from auth_common.errors import NotFound
from auth_common.passkeys.session_challenges import CHALLENGE_LIFETIME
from auth_common.tokens import mfa_tokens
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.factories import (
    PASSWORD,
    expire_step_ups,
    get_user,
    is_session_accepted,
    log_in,
    refresh,
    session_id,
    sign_up,
    step_up,
)
from tests.support.functions import Response, authorize
from tests.support.passkeys import (
    begin_and_answer_registration,
    begin_login,
    begin_registration,
    call_webauthn,
    complete_login,
    complete_registration,
    enrol,
    post_without_token,
)
from tests.support.races import before_statement, send_at_once, wait_until_blocked, while_a_password_is_checked
from tools.authenticator.software_authenticator import AAGUID, Algorithm, NoCredential, to_base64url

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def passkeys_of(token):
    return call_webauthn(token, "GET", "/webauthn/credentials").json


def change(token, method, passkey_id, body=None) -> Response:
    path = f"/webauthn/credentials/{passkey_id}"
    return call_webauthn(token, method, path, body, path_parameters={"id": passkey_id})


# --- Registration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", Algorithm)
def test_key_of_each_algorithm_registers_and_logs_in(account, algorithm):
    for attestation in ("none", "packed"):
        holder = enrol(account, algorithms=(algorithm,), attestation=attestation)
        answer = holder.log_in()
        assert (answer.status, holder.log_in_with_passkey_alone().status) == (200, 200), attestation
        account = replace(account, access_token=answer.json["access_token"])


@pytest.mark.aurora_dsql
def test_passkey_is_listed_and_excluded_from_registration(holder):
    token = holder.log_in().json["access_token"]
    with pytest.raises(NoCredential, match="registered already"):
        holder.authenticator.register(begin_registration(token)["options"])
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


def test_passkey_has_the_name_that_its_user_chose(account):
    answered = begin_and_answer_registration(account.access_token)
    added = complete_registration(account.access_token, *answered, name="Laptop").json
    assert added["name"] == "Laptop"
    assert [item["name"] for item in passkeys_of(account.access_token)["items"]] == ["Laptop"]


@pytest.mark.asvs("14.2.6")
def test_options_contain_only_personal_data_shown_to_the_user(account):
    options = begin_registration(account.access_token)["options"]
    assert options["user"].keys() == {"id", "name", "displayName"}
    assert (options["user"]["name"], options["user"]["displayName"]) == (account.email, "Test Person")
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "preferred"
    assert options["timeout"] == CHALLENGE_LIFETIME.total_seconds() * 1000


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.3.2")
def test_eleventh_passkey_is_rejected_at_begin_and_at_complete(database, holder):
    token = holder.log_in().json["access_token"]
    waiting = begin_and_answer_registration(token)
    (row,) = database.execute(passkeys.select())
    copies = [{**row._asdict(), "id": uuid4(), "credential_id": uuid4().bytes} for _ in range(9)]
    database.execute(passkeys.insert().values(copies))
    answer = call_webauthn(token, "POST", "/webauthn/register/begin", {})
    assert (answer.status, answer.code) == (409, "too_many_passkeys")
    assert complete_registration(token, *waiting).code == "too_many_passkeys"
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
def test_added_passkey_revokes_the_other_sessions(person, other, log_lines):
    elsewhere = log_in().json
    holder = enrol(person)
    assert not is_session_accepted(person.id, elsewhere)
    assert is_session_accepted(person.id, person.pair)
    here, elsewhere = holder.log_in().json, holder.log_in().json
    enrol(replace(person, access_token=here["access_token"]))
    assert not is_session_accepted(person.id, elsewhere)
    assert is_session_accepted(person.id, here)
    assert get_user(other.id, token=other.access_token).status == 200
    # The second passkey also revokes the session with a password that added the first one.
    assert revocations(log_lines) == [(person.id, "passkey_added", 1), (person.id, "passkey_added", 2)]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.5.6", "7.4.3")
def test_deleted_passkey_revokes_the_other_sessions(holder, log_lines):
    here, elsewhere = holder.log_in().json, holder.log_in_with_passkey_alone().json
    token = here["access_token"]
    # Failed requests and a new name revoke no session.
    assert change(token, "DELETE", str(uuid4())).code == "not_found"
    assert change(token, "PATCH", holder.passkey_id, {"name": "Laptop"}).status == 204
    credential = holder.authenticator.authenticate(begin_login()["options"])
    assert complete_registration(token, begin_registration(token), credential).code == "passkey_rejected"
    assert get_user(holder.account.id, token=elsewhere["access_token"]).status == 200
    assert revocations(log_lines) == []
    assert change(token, "DELETE", holder.passkey_id).status == 204
    assert not is_session_accepted(holder.account.id, elsewhere)
    assert is_session_accepted(holder.account.id, here)
    # One of the two is the session with a password that added the passkey.
    assert revocations(log_lines) == [(holder.account.id, "passkey_removed", 2)]


@pytest.mark.aurora_dsql
def test_first_passkey_added_during_a_login_is_required(database, person, monkeypatch):
    """Otherwise a session of one factor would be opened just after all such sessions were revoked."""
    before = database.count(sessions)
    while_a_password_is_checked(monkeypatch, lambda: enrol(person))
    assert log_in().json.keys() >= {"mfa_token"}
    assert database.count(sessions) == before


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_login_that_waits_for_a_first_passkey_requires_it(database, person):
    """The login has begun before the passkey was stored, and locks the user after it."""
    before = database.count(sessions)
    logins = []

    def start_login():
        logins.append(elsewhere.submit(log_in))
        wait_until_blocked(database)

    with ThreadPoolExecutor(1) as elsewhere, before_statement("INSERT INTO passkeys", start_login):
        enrol(person)
    assert logins[0].result().json.keys() >= {"mfa_token"}
    assert database.count(sessions) == before


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("attempt", range(3))
def test_login_during_the_deletion_of_its_passkey_leaves_no_session(database, holder, attempt):
    here = holder.log_in().json["access_token"]
    ceremonies = [begin_login() for _ in range(6)]
    credentials = [holder.authenticator.authenticate(ceremony["options"]) for ceremony in ceremonies]
    logins = [
        partial(complete_login, ceremony, credential)
        for ceremony, credential in zip(ceremonies, credentials, strict=True)
    ]
    *answers, deletion = send_at_once(*logins, lambda: change(here, "DELETE", holder.passkey_id))
    assert deletion.status == 204
    assert {answer.status for answer in answers} <= {200, 401}
    live = select(sessions.c.id).where(sessions.c.revoked_at.is_(None))
    assert [str(row.id) for row in database.execute(live)] == [session_id(here)]


# --- Login ------------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.6", "10.3.4")
@pytest.mark.parametrize(("backup_eligible", "key"), [(False, "hwk"), (True, "swk")])
def test_amr_names_the_login_methods_and_survives_a_refresh(database, backup_eligible, key):
    holder = enrol(backup_eligible=backup_eligible, backed_up=backup_eligible)
    assert verify_access_token(holder.account.access_token).amr == ("pwd",)
    assert verify_access_token(holder.log_in_with_passkey_alone().json["access_token"]).amr == (key, "user", "mfa")
    pair = holder.log_in().json
    before = verify_access_token(pair["access_token"])
    after = verify_access_token(refresh(pair["refresh_token"]).json["access_token"])
    assert (
        (after.amr, after.auth_time)
        == (before.amr, before.auth_time)
        == (("pwd", key, "user", "mfa"), before.auth_time)
    )


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.4", "6.3.8")
@pytest.mark.threat("function-account-enumeration", "function-second-factor-bypass")
def test_password_alone_gets_only_an_mfa_token(holder, log_lines):
    """A wrong password gets the response of an unknown address, so it does not reveal the passkey."""
    assert log_in(holder.account.email, PASSWORD + "!").json.keys() == log_in("nobody@example.com").json.keys()
    answer = log_in(holder.account.email)
    assert answer.status == 200
    assert answer.json.keys() == {"mfa_required", "mfa_token", "expires_in", "methods"}
    assert (answer.json["mfa_required"], answer.json["expires_in"], answer.json["methods"]) == (True, 300, ["webauthn"])
    assert log_lines.security_events[-1]["name"] == "authn_login_first_factor"


def test_second_factor_options_list_the_users_passkeys(holder):
    allowed = begin_login(holder.get_mfa_token())["options"]
    (key,) = holder.authenticator.credentials
    assert [descriptor["id"] for descriptor in allowed["allowCredentials"]] == [to_base64url(key.id)]
    assert allowed["userVerification"] == "preferred"
    alone = begin_login()["options"]
    assert (alone["allowCredentials"], alone["userVerification"]) == ([], "required")


# --- The mfa_token ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.3.1")
def test_mfa_token_and_other_tokens_are_not_interchangeable(holder):
    token, now = holder.get_mfa_token(), datetime.now(UTC)
    assert post_without_token("/webauthn/login/complete", {"challenge_id": token[:64], "credential": {}}).status == 400
    past = now - mfa_tokens.MFA_TOKEN_LIFETIME - timedelta(seconds=31)
    expired = mfa_tokens.issue_mfa_token(user_id=UUID(holder.account.id), token_version=0, now=past)
    for each in (token, expired):
        assert authorize(each)["policyDocument"]["Statement"][0]["Effect"] == "Deny"
        assert refresh(each).status == 401
    # The user of a valid token may be unknown, for example if a database was replaced and the keys were not.
    unknown = mfa_tokens.issue_mfa_token(user_id=uuid4(), token_version=0, now=now)
    for other in (expired, unknown, holder.account.access_token, "", "x", "a.b.c"):
        answer = post_without_token("/webauthn/login/begin", {"mfa_token": other})
        assert (answer.status, answer.code) == (401, "invalid_mfa_token"), other


@pytest.mark.asvs("6.3.4")
@pytest.mark.parametrize("end", [accounts.revoke_sessions_of, accounts.disable_user])
def test_operator_change_stops_a_login_that_has_begun(holder, end):
    token = holder.get_mfa_token()
    answered = holder.begin_and_answer_login(token)
    end(holder.account.email)
    assert post_without_token("/webauthn/login/begin", {"mfa_token": token}).code == "invalid_mfa_token"
    answer = complete_login(*answered)
    assert (answer.status, answer.code) == (401, "passkey_login_failed")
    assert (holder.log_in_with_passkey_alone().status == 200) is (end is accounts.revoke_sessions_of)


# --- Step-up (ASVS 5.0 7.5.1): more in tests/functions/step_up --------------------------------------------------------


@pytest.mark.asvs("7.5.1", "8.2.4", "10.3.4")
@pytest.mark.threat("function-stolen-access-token")
def test_expired_step_up_cannot_change_passkeys(database, account, log_lines):
    def assert_rejected(answer, method):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", [method])
        assert "www-authenticate" not in answer.headers

    expire_step_ups(database)
    assert_rejected(call_webauthn(account.access_token, "POST", "/webauthn/register/begin", {}), "password")
    assert database.count(passkeys) == 0
    step_up(account.access_token, {"current_password": PASSWORD})
    holder = enrol(account)
    token = holder.log_in().json["access_token"]
    expire_step_ups(database)
    assert_rejected(call_webauthn(token, "POST", "/webauthn/register/begin", {}), "webauthn")
    assert_rejected(change(token, "DELETE", holder.passkey_id), "webauthn")
    assert_rejected(change(token, "PATCH", holder.passkey_id, {"name": "Laptop"}), "webauthn")
    assert [item["name"] for item in passkeys_of(token)["items"]] == ["Passkey"]
    assert change(holder.log_in().json["access_token"], "DELETE", holder.passkey_id).status == 204


@pytest.mark.asvs("7.5.1", "10.3.4")
def test_step_up_by_password_cannot_change_existing_passkeys(account, log_lines):
    waiting = begin_and_answer_registration(account.access_token)
    holder = enrol(account)
    step_up(account.access_token, {"current_password": PASSWORD})
    for answer in (
        call_webauthn(account.access_token, "POST", "/webauthn/register/begin", {}),
        complete_registration(account.access_token, *waiting),
        change(account.access_token, "DELETE", holder.passkey_id),
    ):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
    without_passkey = "step_up_without_passkey"
    assert log_lines.reasons("authz_fail") == [without_passkey, "passkey_added_meanwhile", without_passkey]
    assert change(holder.log_in().json["access_token"], "DELETE", holder.passkey_id).status == 204
    assert log_in(account.email).json.keys() >= {"access_token"}


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.2")
def test_passkey_of_another_user_is_not_found(database, holder):
    other = enrol(sign_up("other@example.com"))
    token = other.log_in().json["access_token"]
    for passkey_id in (holder.passkey_id, str(uuid4()), "x"):
        assert change(token, "DELETE", passkey_id).code == "not_found"
        assert change(token, "PATCH", passkey_id, {"name": "Mine"}).code == "not_found"
    assert database.count(passkeys) == 2
    assert [item["name"] for item in passkeys_of(holder.log_in().json["access_token"])["items"]] == ["Passkey"]


@pytest.mark.asvs("6.4.4", "6.5.6")
def test_operator_removes_lost_passkeys(database, holder):
    other = enrol(sign_up("other@example.com"))
    accounts.remove_passkeys(holder.account.email)
    assert get_user(holder.account.id, token=holder.account.access_token).status == 401
    assert log_in(holder.account.email).json.keys() >= {"access_token"}
    assert other.log_in().status == 200
    with pytest.raises(NotFound):
        accounts.remove_passkeys("nobody@example.com")

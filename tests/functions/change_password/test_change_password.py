"""PUT /users/{id}/password: its requirements, and the sessions and tokens that a change revokes."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import audit_events, sessions, users
from auth_common.keys.keyed_hashes import throttle_key
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP, json_event
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    change_password,
    erase,
    expire_step_ups,
    get_user,
    log_in,
    refresh,
    session_id,
    step_up,
)
from tests.support.functions import authorize, call
from tests.support.passkeys import begin_login, complete_login, enrol, post_without_token
from tests.support.races import (
    on_each_isolation_level,
    send_at_once,
    while_a_passkey_is_verified,
    while_a_password_is_checked,
)
from tests.support.step_ups import events_named, failed_proofs
from tests.support.throttles import OTHER_CLIENT_IP, WRONG_PASSWORD, attempt_counts, count_of, counter_rows, use_limits

pytestmark = [pytest.mark.passwords, pytest.mark.sqlite]


def body_of(current=PASSWORD, new=NEW_PASSWORD):
    return {"current_password": current, "new_password": new}


def stored_hash(database, email=EMAIL):
    ((stored,),) = database.execute(select(users.c.password_hash).where(users.c.email == email))
    return stored


def open_sessions(database):
    """Return the ids of the sessions that are valid."""
    live = (
        select(sessions.c.id)
        .join(users)
        .where(sessions.c.revoked_at.is_(None), sessions.c.token_version == users.c.token_version)
    )
    return {str(row.id) for row in database.execute(live)}


# --- The contract (ASVS 5.0 6.2.2, 6.2.3) -----------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.2.2")
def test_change_replaces_the_password(database, person, log_lines):
    # The login may be old, because without a passkey the current password is the proof.
    database.execute(update(sessions).values(auth_time=datetime.now(UTC) - timedelta(days=3)))
    answer = change_password(person)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["cache-control"] == "no-store"
    # There was no other session to revoke.
    assert events_named(log_lines, "authn_token_revoked") == []
    assert log_in(password=PASSWORD).code == "invalid_credentials"
    assert log_in(password=NEW_PASSWORD).status == 200


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.2.3")
@pytest.mark.parametrize("has_passkey", [False, True])
def test_wrong_current_password_changes_nothing(database, person, log_lines, has_passkey):
    token = enrol(person).log_in_with_passkey_alone().json["access_token"] if has_passkey else person.access_token
    log_in()
    before = stored_hash(database), open_sessions(database)
    answer = change_password(person, token=token, current=WRONG_PASSWORD)
    assert (answer.status, answer.code) == (400, "invalid_current_password")
    assert events_named(log_lines, "authn_password_change", "authn_password_change_fail") == [
        ("authn_password_change_fail", "wrong_password")
    ]
    assert change_password(person, token=token, new="short").status == 422
    assert change_password(person, token=token, user_id=str(uuid4())).status == 403
    assert (stored_hash(database), open_sessions(database)) == before
    assert get_user(person.id, token=token).status == 200


BAD_BODIES = [
    ({}, {"current_password", "new_password"}),
    ({"new_password": NEW_PASSWORD}, {"current_password"}),
    ({"current_password": PASSWORD}, {"new_password"}),
    ({**body_of(), "token_version": 0}, {"token_version"}),
    (body_of(current=["x"]), {"current_password"}),
    (body_of(new="a" * 1_025), {"new_password"}),
    ([], {"body"}),
]


def test_bad_input_is_rejected_by_field_and_not_echoed(database, person):
    before = stored_hash(database)
    options = {"path_parameters": {"id": person.id}, "authorizer": authorize(person.access_token)["context"]}
    for body, fields in BAD_BODIES:
        answer = call("change_password", json_event("PUT", f"/users/{person.id}/password", body, **options))
        assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", fields), body
        assert PASSWORD not in answer.text
        assert NEW_PASSWORD not in answer.text
    assert stored_hash(database) == before


BAD_PASSWORDS = {
    "short": "four short one",
    "long": "a" * 257,
    "common": "passwordpassword",
    "the user's name": "Test-Person-1980-Engineer",
    "the user's address": "person@example.com",
    "the service's name": "Secure Backend password",
    "guessable": "qwertyuiopasdfgh",
    "same": PASSWORD,
    "same in NFKC": PASSWORD.replace("v", "\uff56", 1),
}


def test_new_password_against_the_policy_is_rejected_without_hash(database, person, hash_costs):
    before, count = stored_hash(database), attempt_counts(database)
    hash_costs.clear()
    for kind, new in BAD_PASSWORDS.items():
        answer = change_password(person, new=new)
        assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", {"new_password"}), kind
        assert new not in answer.text
    assert stored_hash(database) == before
    assert hash_costs == []
    bad_input = {throttle_key("bad_input_source", SOURCE_IP): len(BAD_PASSWORDS)}
    assert attempt_counts(database) == count | bad_input


def test_new_password_is_stored_completely_and_as_typed(person):
    """The password is neither trimmed nor cut at the 72 bytes of bcrypt (ASVS 5.0 6.2.8)."""
    new = f"  {'copper lantern eleven rivers ' * 3}Ünïcode "
    assert change_password(person, new=new).status == 204
    for wrong in (new.strip(), new[:-1], new.lower(), new[:72]):
        assert log_in(password=wrong).status == 401
    assert log_in(password=new).status == 200


# --- Authorization ----------------------------------------------------------------------------------------------------


def test_no_role_can_change_the_password_of_another_user(database, person, other, log_lines):
    """An admin is rejected too (ASVS 5.0 6.4.6). Unknown ids get the same response."""
    before, count = stored_hash(database, other.email), counter_rows(database)
    ids = [other.id, str(uuid4()), "me", "x" * 2_000, f"{{{person.id}}}"]
    for role in ("user", "security", "admin"):
        database.execute(update(users).where(users.c.email == EMAIL).values(role=role))
        for answer in [change_password(person, user_id=user_id) for user_id in ids]:
            assert (answer.status, answer.code) == (403, "forbidden")
            assert answer.json["detail"] == "You may not do this."
    assert stored_hash(database, other.email) == before
    assert events_named(log_lines, "authz_fail") == [("authz_fail", "not_self")] * 3 * len(ids)
    assert counter_rows(database) == count


# --- Step-up (ASVS 5.0 7.5.1) -----------------------------------------------------------------------------------------


@pytest.mark.asvs("6.2.3")
@pytest.mark.threat("function-stolen-access-token")
def test_change_with_a_passkey_requires_a_step_up_with_it(database, person, log_lines):
    holder = enrol(person)
    step_up(person.access_token, {"current_password": PASSWORD})
    by_password_alone = change_password(person)
    token = holder.log_in().json["access_token"]
    without_token = change_password(person, token=token, step_up_token=None)
    expire_step_ups(database)
    for answer in (by_password_alone, without_token, change_password(person, token=token)):
        assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["webauthn"])
        assert "www-authenticate" not in answer.headers
    reasons = ["step_up_without_passkey", "no_step_up", "step_up_expired"]
    assert events_named(log_lines, "authz_fail") == [("authz_fail", reason) for reason in reasons]
    assert change_password(person, token=holder.log_in().json["access_token"]).status == 204


@pytest.mark.aurora_dsql
def test_first_passkey_added_during_a_change_is_required(database, person, monkeypatch):
    before = stored_hash(database)
    while_a_password_is_checked(monkeypatch, lambda: enrol(person))
    assert change_password(person).code == "step_up_required"
    assert stored_hash(database) == before


# --- Revoked sessions and tokens (ASVS 5.0 7.4.3) ---------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.2.2", "7.4.3")
def test_change_revokes_other_sessions_and_all_access_tokens(database, person, other, log_lines):
    elsewhere = [log_in(sourceIp=OTHER_CLIENT_IP).json for _ in range(2)]
    assert change_password(person).status == 204
    for pair in elsewhere:
        assert get_user(person.id, token=pair["access_token"]).code == "invalid_token"
        assert refresh(pair["refresh_token"]).code == "invalid_refresh_token"
    assert open_sessions(database) == {session_id(person.access_token), session_id(other.access_token)}
    assert get_user(other.id, token=other.access_token).status == 200
    # All earlier access tokens are revoked, including the one of the request.
    assert get_user(person.id, token=person.access_token).code == "invalid_token"
    renewed = refresh(person.refresh_token).json
    assert session_id(renewed["access_token"]) == session_id(person.access_token)
    assert get_user(person.id, token=renewed["access_token"]).status == 200
    assert refresh(renewed["refresh_token"]).status == 200
    assert events_named(log_lines, "authn_password_change", "authn_token_revoked") == [
        ("authn_token_revoked", "password_changed"),
        ("authn_password_change", None),
    ]


def test_change_rejects_begun_second_factors_and_keeps_passkeys(person):
    holder = enrol(person)
    token = holder.log_in().json["access_token"]
    mfa_token = holder.get_mfa_token()
    begun = begin_login(mfa_token)
    assert change_password(person, token=token).status == 204
    assert post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}).code == "invalid_mfa_token"
    answer = complete_login(begun, holder.authenticator.authenticate(begun["options"]))
    assert (answer.status, answer.code) == (401, "passkey_login_failed")
    assert holder.log_in_with_passkey_alone().status == 200
    assert log_in(password=NEW_PASSWORD).json.keys() >= {"mfa_token"}


def test_audit_record_of_a_change_contains_no_secret(database, person):
    change_password(person)
    statement = select(audit_events).where(audit_events.c.name == "authn_password_change")
    (record,) = database.execute(statement)
    assert (str(record.user_id), record.outcome) == (person.id, "success")
    assert json.loads(record.record)["detail"] == {"session_id": session_id(person.access_token)}
    assert not any(secret in record.record for secret in (PASSWORD, NEW_PASSWORD, "$2b$"))


# --- Concurrent requests ----------------------------------------------------------------------------------------------


@on_each_isolation_level
@pytest.mark.parametrize("tokens", [1, 5], ids=["one session", "five sessions"])
def test_only_one_of_concurrent_changes_succeeds(database, isolation, person, tokens):
    bearers = [person.access_token, *(log_in().json["access_token"] for _ in range(tokens - 1))] * (5 // tokens)
    news = [f"{NEW_PASSWORD} number {number}" for number in range(len(bearers))]
    answers = send_at_once(
        *[
            lambda token=token, new=new: change_password(person, token=token, new=new)
            for token, new in zip(bearers, news, strict=True)
        ]
    )
    assert Counter(answer.status for answer in answers) == {204: 1, 401: len(bearers) - 1}
    winner = next(number for number, answer in enumerate(answers) if answer.status == 204)
    assert open_sessions(database) == {session_id(bearers[winner])}
    assert [log_in(password=new).status == 200 for new in news] == [number == winner for number in range(len(news))]


@on_each_isolation_level
@pytest.mark.parametrize("attempt", range(3))
def test_concurrent_logins_with_the_old_password_open_no_session(database, isolation, person, attempt):
    *logins, changed = send_at_once(*[log_in] * 6, lambda: change_password(person))
    assert changed.status == 204
    # These levels report conflicts, and one of seven requests may lose all of its six tries.
    unlucky = {503} if isolation in {"repeatable read", "serializable"} else set()
    assert {login.status for login in logins} <= {200, 401} | unlucky
    assert open_sessions(database) == {session_id(person.access_token)}
    for login in logins:
        if login.status == 200:
            assert refresh(login.json["refresh_token"]).code == "invalid_refresh_token"


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("has_passkey", [False, True])
def test_login_that_has_checked_the_old_password_is_rejected(database, person, monkeypatch, log_lines, has_passkey):
    token = enrol(person).log_in().json["access_token"] if has_passkey else person.access_token
    before = database.count(sessions)
    while_a_password_is_checked(monkeypatch, lambda: change_password(person, token=token))
    answer = log_in()
    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert database.count(sessions) == before
    assert events_named(log_lines, "authn_login_fail") == [("authn_login_fail", "token_version_changed")]


@pytest.mark.aurora_dsql
def test_login_with_a_passkey_during_a_change_is_rejected(database, person, monkeypatch, log_lines):
    holder = enrol(person)
    token = holder.log_in().json["access_token"]
    begun, credential = holder.begin_and_answer_login(holder.get_mfa_token())
    before = database.count(sessions)
    while_a_passkey_is_verified(monkeypatch, lambda: change_password(person, token=token))
    assert complete_login(begun, credential).code == "passkey_login_failed"
    assert log_in(password=NEW_PASSWORD).status == 200
    assert database.count(sessions) == before
    assert events_named(log_lines, "authn_login_fail") == [("authn_login_fail", "token_version_changed")]


def test_change_with_a_token_of_an_erased_account_is_rejected_and_recorded(database, person, log_lines):
    erase()
    assert change_password(person).code == "invalid_token"
    assert log_lines.reasons("authn_token_rejected") == ["session_unknown"]


@pytest.mark.aurora_dsql
def test_login_of_account_that_is_erased_during_it_is_rejected(database, person, monkeypatch):
    while_a_password_is_checked(monkeypatch, erase)
    assert log_in().code == "invalid_credentials"
    assert database.count(sessions) == 0


def test_login_that_rehashes_the_old_password_does_not_restore_it(database, person, monkeypatch):
    monkeypatch.setenv("BCRYPT_COST", "5")
    start_fresh_environment()
    while_a_password_is_checked(monkeypatch, lambda: change_password(person))
    assert log_in().code == "invalid_credentials"
    assert stored_hash(database).startswith("$2b$05$")
    assert log_in(password=NEW_PASSWORD).status == 200


@pytest.mark.aurora_dsql
def test_hash_that_is_replaced_during_a_change_stays(database, person, monkeypatch, log_lines):
    """The stored hash differs from the verified one. The password was right, so no wrong proof is counted."""
    replacement = "$2b$04$" + "." * 53
    statement = update(users).values(password_hash=replacement)
    while_a_password_is_checked(monkeypatch, lambda: database.execute(statement))
    answer = change_password(person)
    assert (answer.status, answer.code) == (400, "invalid_current_password")
    assert stored_hash(database) == replacement
    assert get_user(person.id, token=person.access_token).status == 200
    assert events_named(log_lines, "authn_password_change_fail") == [
        ("authn_password_change_fail", "changed_meanwhile")
    ]
    assert failed_proofs(database) == [0]


# --- Rate limits. For guesses with a stolen access token, see tests/functions/step_up/test_wrong_proofs.py ------------


@pytest.fixture
def small_limits(person, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=3, login_per_account=5, login_per_source=7)


@pytest.mark.usefixtures("small_limits")
def test_login_and_change_have_separate_counters(database, person):
    """Otherwise an attacker could keep a travelling user from revoking a stolen session."""
    assert {change_password(person, current=WRONG_PASSWORD).status for _ in range(4)} == {400}
    assert {count_of(database, "login_account", EMAIL), count_of(database, "login_source", SOURCE_IP)} == {0}
    assert {log_in(password=WRONG_PASSWORD).status for _ in range(3)} == {401}
    for number in range(5):
        log_in(password=WRONG_PASSWORD, sourceIp=f"192.0.2.{number}")
    assert {log_in().status, log_in(sourceIp=OTHER_CLIENT_IP).status} == {429}
    assert change_password(person, sourceIp=OTHER_CLIENT_IP).status == 204
    assert log_in(password=NEW_PASSWORD).status == 429


def test_change_after_a_concurrent_revocation_is_not_counted(database, person, monkeypatch):
    while_a_password_is_checked(monkeypatch, lambda: accounts.revoke_sessions_of(EMAIL))
    assert change_password(person).code == "invalid_token"
    assert failed_proofs(database) == [0]


@pytest.mark.usefixtures("small_limits")
def test_client_ip_of_the_user_stays_known_after_a_change(person):
    assert change_password(person).status == 204
    for number in range(5):
        assert log_in(password=WRONG_PASSWORD, sourceIp=f"192.0.2.{number}").status == 401
    assert log_in(password=NEW_PASSWORD, sourceIp=OTHER_CLIENT_IP).status == 429
    assert log_in(password=NEW_PASSWORD).status == 200


def test_stored_hash_of_invalid_cost_is_not_verified(database, person, hash_costs):
    for stored in ("$2b$16$" + "." * 53, "$2b$31$" + "." * 53, "plain text"):
        database.execute(update(users).values(password_hash=stored))
        hash_costs.clear()
        assert change_password(person).code == "invalid_current_password", stored
        assert hash_costs == [4]
        assert stored_hash(database) == stored

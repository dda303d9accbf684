"""Logins with passkeys that fail again and again: their limits beyond the contract of test_rate_limits.py."""

import pytest
from sqlalchemy import select, update

from auth_common.db.tables import audit_events, throttles, users
from auth_common.security.keyed_hashes import throttle_key
from auth_common.services import accounts
from auth_common.services.erasure import erase_user
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL
from tests.support.passkeys import (
    ORIGIN,
    anonymously,
    begin_login,
    begin_registration,
    complete_login,
    complete_registration,
)
from tests.support.throttles import (
    ELSEWHERE,
    counted,
    guess,
    let_locks_end,
    recorded_failures,
    rows,
    use_limits,
    with_broken_signature,
)
from tools.software_authenticator import SoftwareAuthenticator

pytestmark = [pytest.mark.passkeys, pytest.mark.throttling, pytest.mark.sqlite]


@pytest.fixture(autouse=True)
def limits(database, monkeypatch):
    use_limits(monkeypatch, second_factor_per_account=3, passkey_per_source=6)


def begin(body=None, **changes):
    return anonymously("/webauthn/login/begin", body or {}, **changes)


def fail(holder):
    ceremony = begin_login(holder.give_password())
    return complete_login(ceremony, with_broken_signature(holder, ceremony))


def test_a_ceremony_that_began_before_the_lock_does_not_get_past_it(holder):
    ceremony = begin_login(holder.give_password())
    for _ in range(3):
        fail(holder)
    assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == 429


@pytest.mark.asvs("6.3.1")
def test_all_second_factors_share_one_counter(database, holder):
    """Two passkeys: what one of them has used up is not there for the other."""
    token = holder.log_in().json["access_token"]
    ceremony = begin_registration(token)
    second = SoftwareAuthenticator(origin=ORIGIN)
    assert complete_registration(token, ceremony, second.register(ceremony["options"])).status == 201
    fail(holder)
    fail(holder)
    ceremony = begin_login(holder.give_password())
    credential = second.authenticate(ceremony["options"])
    credential["response"]["signature"] = "AAAA"
    assert complete_login(ceremony, credential).status == 401
    assert counted(database, "second_factor", holder.account.id) == 3
    assert anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()}).status == 429


def test_an_mfa_token_that_was_overtaken_does_not_lock_its_owners_second_factor(database, holder):
    """Whoever has kept one could replay it for five minutes. It counts for their address."""
    overtaken = holder.give_password()
    accounts.end_sessions_of(EMAIL)
    assert [begin({"mfa_token": overtaken}, sourceIp=ELSEWHERE).status for _ in range(7)] == [401] * 6 + [429]
    assert counted(database, "passkey_source", ELSEWHERE) == 6
    assert counted(database, "second_factor", holder.account.id) == 0
    assert holder.log_in().status == 200


def test_login_challenge_that_was_overtaken_does_not_lock_its_users_second_factor(database, holder):
    overtaken = begin_login(holder.give_password())
    accounts.end_sessions_of(EMAIL)
    body = {"challenge_id": overtaken["challenge_id"], "credential": {}}
    answers = [anonymously("/webauthn/login/complete", body, sourceIp=ELSEWHERE).status for _ in range(7)]
    assert answers == [401] + [400] * 5 + [429]
    assert counted(database, "second_factor", holder.account.id) == 0
    assert holder.log_in().status == 200


def test_login_challenge_that_was_answered_does_not_lock_its_users_second_factor(database, holder):
    """Its first answer may have been a login, which an attacker has recorded."""
    ceremony, credential = holder.answered_login(holder.give_password())
    assert complete_login(ceremony, credential).status == 200
    body = {"challenge_id": ceremony["challenge_id"], "credential": credential}
    answers = [anonymously("/webauthn/login/complete", body, sourceIp=ELSEWHERE).status for _ in range(7)]
    assert answers == [400] * 6 + [429]
    assert counted(database, "second_factor", holder.account.id) == 0
    assert holder.log_in().status == 200


def test_a_success_clears_it_and_not_the_sources(database, holder):
    fail(holder)
    fail(holder)
    assert holder.log_in().status == 200
    assert counted(database, "second_factor", holder.account.id) == 0
    assert counted(database, "passkey_source", SOURCE_IP) == 2


@pytest.mark.asvs("2.4.1")
def test_passkeys_alone_with_a_wrong_signature_are_counted_for_the_client_ip(holder):
    ceremonies = [begin_login() for _ in range(7)]
    statuses = [complete_login(c, with_broken_signature(holder, c)).status for c in ceremonies]
    assert statuses == [401] * 6 + [429]


def test_mfa_tokens_that_are_not_ours_spend_it_too(database):
    statuses = [anonymously("/webauthn/login/begin", {"mfa_token": "x.y.z"}).status for _ in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert recorded_failures(database)["authn_token_rejected", "invalid_mfa_token"] == 6


def test_second_factor_is_not_stopped_by_failures_of_its_client_ip(database, holder):
    """Strangers cause them without knowing a password: with passkeys of their own, or with nothing."""
    for _ in range(10):
        complete_login({"challenge_id": "not one of ours"}, {})
        complete_login(begin_login(), {})
    assert holder.log_in_alone().status == 429
    assert holder.log_in().status == 200
    assert begin({"mfa_token": "x.y.z"}).status == 429
    assert holder.log_in().status == 200


def test_a_locked_second_factor_does_not_spend_the_sources_budget(database, holder):
    ceremonies = [begin_login(holder.give_password()) for _ in range(3)]
    for _ in range(3):
        fail(holder)
    assert [complete_login(ceremony, {}).status for ceremony in ceremonies] == [429] * 3
    assert counted(database, "passkey_source", SOURCE_IP) == 3


def test_a_lock_names_the_user_whose_password_is_known(database, holder):
    for _ in range(3):
        fail(holder)
    (lock,) = database.execute(select(audit_events).where(audit_events.c.name == "authn_login_lock"))
    assert (lock.reason, str(lock.user_id)) == ("second_factor", holder.account.id)


def test_after_a_hundred_failures_in_a_row_second_factors_are_off_until_an_operator_helps(database, holder):
    fail(holder)
    key = throttle_key("second_factor", holder.account.id)
    database.execute(update(throttles).where(throttles.c.key == key).values(failures=99))
    assert fail(holder).status == 401
    let_locks_end(database)
    assert anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()}).status == 429
    assert accounts.unlock_user(EMAIL)[1] == 1
    assert holder.log_in().status == 200


def test_erased_account_has_no_counters(database, holder):
    fail(holder)
    guess()
    erase_user(EMAIL)
    assert database.count(users) == 0
    left = {row.key for row in rows(database)}
    assert not left & {throttle_key("second_factor", holder.account.id), throttle_key("login_account", EMAIL)}

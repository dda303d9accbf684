"""Many failed logins with passkeys: details of their rate limits that test_rate_limits.py does not cover."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.accounts.erasure import erase_user
from auth_common.database.tables import audit_events, throttles, users
from auth_common.keys.keyed_hashes import throttle_key
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL
from tests.support.passkeys import begin_login, complete_login, enrol, post_without_token
from tests.support.throttles import (
    OTHER_CLIENT_IP,
    count_of,
    counter_rows,
    expire_lockouts,
    guess_password,
    recorded_failures,
    use_limits,
    with_broken_signature,
)

pytestmark = [pytest.mark.passkeys, pytest.mark.throttling, pytest.mark.sqlite]


@pytest.fixture(autouse=True)
def limits(database, monkeypatch):
    use_limits(monkeypatch, second_factor_per_account=3, passkey_per_source=6)


def begin_with(mfa_token, **changes):
    return post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}, **changes)


def complete_elsewhere(challenge_id, credential):
    body = {"challenge_id": challenge_id, "credential": credential}
    return [post_without_token("/webauthn/login/complete", body, sourceIp=OTHER_CLIENT_IP).status for _ in range(7)]


def fail(holder):
    ceremony = begin_login(holder.get_mfa_token())
    return complete_login(ceremony, with_broken_signature(holder, ceremony))


@pytest.mark.asvs("6.3.1")
def test_all_second_factors_share_one_counter(database, holder):
    """Failures with one of a user's passkeys count for the other passkey too."""
    token = holder.log_in().json["access_token"]
    second = enrol(replace(holder.account, access_token=token))
    begun = [holder.begin_and_answer_login(holder.get_mfa_token()) for _ in range(4)]
    assert [fail(each).status for each in (holder, holder, second)] == [401] * 3
    assert count_of(database, "second_factor", holder.account.id) == 3
    assert begin_with(holder.get_mfa_token()).status == 429
    # The lockout also stops ceremonies that began before it. They do not count for the client IP.
    assert [complete_login(*each).status for each in begun] == [429] * 4
    assert count_of(database, "passkey_source", SOURCE_IP) == 3
    (lock,) = database.execute(select(audit_events).where(audit_events.c.name == "authn_login_lock"))
    assert (lock.reason, str(lock.user_id)) == ("second_factor", holder.account.id)


def test_old_token_or_challenge_does_not_lock_the_second_factor(database, holder):
    """An attacker with a copy could replay it for five minutes. The attempts count for the attacker's client IP."""
    token, ceremony = holder.get_mfa_token(), begin_login(holder.get_mfa_token())
    accounts.revoke_sessions_of(EMAIL)
    assert [begin_with(token, sourceIp=OTHER_CLIENT_IP).status for _ in range(7)] == [401] * 6 + [429]
    assert count_of(database, "passkey_source", OTHER_CLIENT_IP) == 6
    database.execute(throttles.delete())
    assert complete_elsewhere(ceremony["challenge_id"], {}) == [401] + [400] * 5 + [429]
    database.execute(throttles.delete())
    ceremony, credential = holder.begin_and_answer_login(holder.get_mfa_token())
    assert complete_login(ceremony, credential).status == 200
    assert complete_elsewhere(ceremony["challenge_id"], credential) == [400] * 6 + [429]
    assert count_of(database, "second_factor", holder.account.id) == 0
    assert holder.log_in().status == 200


def test_success_clears_second_factor_counter_but_not_client_ip(database, holder):
    fail(holder)
    fail(holder)
    assert holder.log_in().status == 200
    assert count_of(database, "second_factor", holder.account.id) == 0
    assert count_of(database, "passkey_source", SOURCE_IP) == 2


@pytest.mark.asvs("2.4.1")
def test_wrong_signatures_alone_count_for_the_client_ip(holder):
    ceremonies = [begin_login() for _ in range(7)]
    statuses = [complete_login(c, with_broken_signature(holder, c)).status for c in ceremonies]
    assert statuses == [401] * 6 + [429]


def test_forged_mfa_tokens_count_for_the_client_ip(database):
    statuses = [begin_with("x.y.z").status for _ in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    assert recorded_failures(database)["authn_token_rejected", "invalid_mfa_token"] == 6


def test_second_factor_is_not_stopped_by_failures_of_its_client_ip(database, holder):
    """An attacker at the same client IP can cause such failures without knowing a password."""
    for _ in range(10):
        complete_login({"challenge_id": "not issued by this service"}, {})
        complete_login(begin_login(), {})
    assert holder.log_in_with_passkey_alone().status == 429
    assert holder.log_in().status == 200
    assert begin_with("x.y.z").status == 429
    assert holder.log_in().status == 200


def test_hundred_failures_disable_second_factors_until_unlocked(database, holder):
    fail(holder)
    key = throttle_key("second_factor", holder.account.id)
    database.execute(update(throttles).where(throttles.c.key == key).values(failures=99))
    assert fail(holder).status == 401
    expire_lockouts(database)
    assert begin_with(holder.get_mfa_token()).status == 429
    assert accounts.unlock_user(EMAIL)[1] == 1
    assert holder.log_in().status == 200


def test_erased_account_has_no_counters(database, holder):
    fail(holder)
    guess_password()
    erase_user(EMAIL)
    assert database.count(users) == 0
    left = {row.key for row in counter_rows(database)}
    assert not left & {throttle_key("second_factor", holder.account.id), throttle_key("login_account", EMAIL)}

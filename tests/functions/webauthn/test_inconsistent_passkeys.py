"""Genuine passkeys whose counter or backup flags differ from the stored ones (docs/decisions/0010-passkeys.md)."""

import pytest

from auth_common.accounts import administration as accounts
from auth_common.database.tables import passkeys, sessions
from tests.support.passkeys import begin_login, call_webauthn, complete_login, enrol
from tests.support.races import send_burst, while_a_passkey_is_verified
from tests.support.throttles import use_limits, with_broken_signature

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def stored(database):
    (row,) = database.execute(passkeys.select())
    return row.sign_count, row.backup_eligible, row.backed_up


def signals(log_lines):
    return [
        (event["reason"], event["user_id"], event["passkey_id"], event["accepted"])
        for event in log_lines.security_events
        if event["name"] == "authn_passkey_inconsistent"
    ]


@pytest.fixture
def synced(database):
    """Return a user whose passkey is synced by two password managers and has the counter 3."""
    holder = enrol(backup_eligible=True, backed_up=True)
    assert [holder.log_in_with_passkey_alone().status for _ in range(3)] == [200] * 3
    return holder


def use_other_manager(holder, *, count=0):
    """Switch the holder to a password manager with another counter."""
    holder.authenticator.counts = False
    holder.authenticator.credentials[0].sign_count = count


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("count", [0, 1, 3])
def test_synced_passkey_with_old_counter_and_password_logs_in(database, synced, log_lines, count):
    use_other_manager(synced, count=count)
    assert synced.log_in().status == 200
    assert stored(database) == (count, True, True)
    assert signals(log_lines) == [("sign_count_not_advanced", synced.account.id, synced.passkey_id, "yes")]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.5.7")
@pytest.mark.threat("function-passkey-replay")
def test_synced_passkey_alone_with_old_counter_requires_password(database, synced, log_lines, monkeypatch):
    """A copy of the key would send the same, so the passkey alone is not accepted until a login with the password.

    The rejection counts for no rate limit, because a valid signature is not a guess.
    """
    use_limits(monkeypatch, passkey_per_source=2)
    use_other_manager(synced)
    before = database.count(sessions)
    assert [synced.log_in_with_passkey_alone().code for _ in range(4)] == ["password_required"] * 4
    assert stored(database) == (3, True, True)
    assert database.count(sessions) == before
    assert signals(log_lines) == [("sign_count_not_advanced", synced.account.id, synced.passkey_id, "no")] * 4
    assert log_lines.security_events[-1]["reason"] == "passkey_inconsistent"
    assert synced.log_in().status == 200
    assert synced.log_in_with_passkey_alone().status == 200


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("backed_up", [True, False])
def test_newly_synced_passkey_logs_in_alone_after_one_with_password(database, holder, log_lines, backed_up):
    """Updates of real password managers have changed this flag of existing passkeys."""
    answer = holder.log_in_with(alone=True, backup_eligible=True, backed_up=backed_up)
    assert (answer.status, answer.code) == (401, "password_required")
    assert stored(database) == (0, False, False)
    assert holder.log_in_with(backup_eligible=True, backed_up=backed_up).status == 200
    assert stored(database) == (2, True, backed_up)
    assert holder.log_in_with_passkey_alone().status == 200
    change = ("backup_eligibility_changed", holder.account.id, holder.passkey_id)
    assert signals(log_lines) == [(*change, "no"), (*change, "yes")]


def test_newly_synced_passkey_without_counter_logs_in(database, holder):
    """Most synced passkeys do not count, so both changes often come together."""
    assert holder.log_in().status == 200
    use_other_manager(holder)
    assert holder.log_in_with(backup_eligible=True).status == 200
    assert stored(database) == (0, True, False)


def test_passkey_that_is_no_longer_synced_logs_in_with_password(database, synced, log_lines):
    answer = synced.log_in_with(alone=True, backup_eligible=False, backed_up=False)
    assert (answer.status, answer.code) == (401, "password_required")
    assert synced.log_in().status == 200
    assert stored(database) == (5, False, False)
    change = ("backup_eligibility_changed", synced.account.id, synced.passkey_id)
    assert signals(log_lines) == [(*change, "no"), (*change, "yes")]
    use_other_manager(synced)
    assert synced.log_in().code == "passkey_login_failed"


def test_backup_state_of_synced_passkey_may_change(database, synced, log_lines):
    for backed_up in (False, True):
        assert synced.log_in_with(alone=True, backed_up=backed_up).status == 200
        assert stored(database)[1:] == (True, backed_up)
    assert signals(log_lines) == []


def test_passkey_that_is_backed_up_without_being_eligible_is_rejected(database, holder):
    """Section 6.1.3 forbids this combination, and section 7.2 requires relying parties to reject it."""
    for alone in (False, True):
        answer = holder.log_in_with(alone=alone, backed_up=True)
        assert (answer.status, answer.code) == (401, "passkey_login_failed")
    assert stored(database) == (0, False, False)


def test_inconsistent_passkey_of_disabled_user_or_bad_signature_fails(synced, log_lines):
    use_other_manager(synced)
    for mfa_token in (synced.get_mfa_token(), None):
        ceremony = begin_login(mfa_token)
        assert complete_login(ceremony, with_broken_signature(synced, ceremony)).code == "passkey_login_failed"
    accounts.disable_user(synced.account.email)
    assert synced.log_in_with_passkey_alone().code == "passkey_login_failed"
    assert signals(log_lines) == []


@pytest.mark.aurora_dsql
def test_concurrent_logins_of_synced_passkey_open_one_session(synced):
    """The UPDATE compares the counter, so only the first login is consistent."""
    ceremonies = [begin_login() for _ in range(6)]
    credentials = []
    for ceremony in ceremonies:
        synced.authenticator.credentials[0].sign_count = 7
        credentials.append(synced.authenticator.authenticate(ceremony["options"]))
    assert send_burst(6, lambda number: complete_login(ceremonies[number], credentials[number])) == {200: 1, 401: 5}


def test_passkey_that_is_deleted_during_its_login_opens_no_session(database, holder, monkeypatch):
    token = holder.log_in().json["access_token"]
    path = f"/webauthn/credentials/{holder.passkey_id}"
    answered = holder.begin_and_answer_login()

    def delete():
        assert call_webauthn(token, "DELETE", path, path_parameters={"id": holder.passkey_id}).status == 204

    while_a_passkey_is_verified(monkeypatch, delete)
    before = database.count(sessions)
    assert complete_login(*answered).code == "passkey_login_failed"
    assert database.count(sessions) == before

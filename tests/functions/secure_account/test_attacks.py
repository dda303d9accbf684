"""Attacks on the link "this was not me", by an attacker who has the session, an old mail, or the mailbox."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import email_changes, mail_tokens, passkeys, users
from tests.functions.secure_account.test_secure_account import REJECTED, link_after_password_change
from tests.support.factories import EMAIL, NEW_PASSWORD, PASSWORD, Account, change_password, log_in, register, sign_up
from tests.support.functions import outcome
from tests.support.mail_links import (
    change_email,
    complete_reset,
    newest_mail,
    queued_mails,
    request_reset,
    secure_account,
    verify_email,
)
from tests.support.passkeys import enrol
from tests.support.races import before_reading, on_each_isolation_level, send_burst
from tests.support.throttles import use_limits

pytestmark = [pytest.mark.accounts]

ATTACKERS_EMAIL = "attacker@example.net"


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-ended")
@pytest.mark.parametrize(
    "change",
    [
        lambda account: change_password(account, current=NEW_PASSWORD, new="attackers own long password"),
        lambda _: accounts.revoke_sessions_of(EMAIL),
        lambda _: accounts.change_role(EMAIL, "security"),
        enrol,
    ],
    ids=["password", "sessions", "role", "passkey"],
)
def test_attacker_cannot_end_the_users_link_by_a_change_of_the_account(database, account, change):
    link = link_after_password_change(database, account)
    token = log_in(password=NEW_PASSWORD).json["access_token"]
    change(Account(account.id, EMAIL, token, ""))
    assert secure_account(link).status == 204
    assert log_in(password=NEW_PASSWORD).status == 401
    assert database.count(passkeys) == 0


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-ended")
def test_attacker_with_a_new_address_cannot_end_the_users_link(database, account):
    """Neither by the links of later notices, which go to the new address, nor by a password reset with it."""
    change_email(database, account, ATTACKERS_EMAIL)
    link = newest_mail(database, EMAIL, "email_changed").undo_token
    make_a_minute_pass(database)
    enrol(attacker_of(account))
    attackers_link = newest_mail(database, ATTACKERS_EMAIL, "passkey_added").undo_token
    assert secure_account(attackers_link).status == 204
    request_reset(ATTACKERS_EMAIL)
    assert complete_reset(newest_mail(database, ATTACKERS_EMAIL, "reset_password").token).status == 204
    enrol(attacker_of(account, NEW_PASSWORD))
    assert secure_account(link).status == 204
    assert log_in(ATTACKERS_EMAIL, NEW_PASSWORD).status == 401
    assert database.count(passkeys) == 0
    assert database.execute(select(users.c.email)) == [(EMAIL,)]
    request_reset()
    assert (
        complete_reset(newest_mail(database, EMAIL, "reset_password").token, "quiet harbour ninety maples").status
        == 204
    )
    assert log_in(password="quiet harbour ninety maples").status == 200


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-ended")
def test_attacker_with_a_used_link_cannot_use_up_the_link_of_a_later_event(database, account):
    """The used link went to the attacker's address, so the user's password reset does not delete it."""
    change_email(database, account, ATTACKERS_EMAIL)
    enrol(attacker_of(account))
    used = newest_mail(database, ATTACKERS_EMAIL, "passkey_added").undo_token
    assert secure_account(newest_mail(database, EMAIL, "email_changed").undo_token).status == 204
    request_reset()
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token, PASSWORD).status == 204
    token = log_in().json["access_token"]

    enrol(Account(account.id, EMAIL, token, ""))
    link = newest_mail(database, EMAIL, "passkey_added").undo_token
    assert secure_account(used).status == secure_account(link).status == 204
    assert database.count(passkeys) == 0
    assert log_in().status == 401


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-misused")
def test_link_of_a_later_event_does_not_undo_an_earlier_change_of_the_address(database, account):
    """A user has changed the address. The mail about an event after that is no proof for the old address."""
    change_email(database, account, "new@example.com")
    make_a_minute_pass(database)
    assert log_in("new@example.com", sourceIp="198.51.100.23", userAgent="attacker").status == 200
    link = newest_mail(database, "new@example.com", "new_login").undo_token
    assert secure_account(link).status == 204
    assert database.execute(select(users.c.email)) == [("new@example.com",)]
    assert newest_mail(database, "new@example.com", "account_secured").undo_token == ""


def make_a_minute_pass(database):
    """Make the changes of addresses and their notices older than the leeway for clocks."""
    minute = timedelta(minutes=1, seconds=1)
    ((at,),) = database.execute(select(email_changes.c.changed_at))
    database.execute(update(email_changes).values(changed_at=at - minute))
    database.execute(update(mail_tokens).where(mail_tokens.c.event_at == at).values(event_at=at - minute))


def attacker_of(account, password=PASSWORD):
    """Log in as the attacker who has changed the address."""
    pair = log_in(ATTACKERS_EMAIL, password).json
    return Account(account.id, ATTACKERS_EMAIL, pair["access_token"], pair["refresh_token"])


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-misused")
def test_link_opens_no_session_and_sets_no_password(database, account):
    """An attacker who reads the mailbox gets nothing by the link."""
    link = link_after_password_change(database, account)
    response = secure_account(link)
    assert (response.status, response.text) == (204, "")
    assert "set-cookie" not in response.headers
    for guess in ("", "mt_", link, NEW_PASSWORD):
        assert log_in(password=guess).status == 401


@pytest.mark.sqlite
@pytest.mark.threat("function-undo-misused")
def test_token_is_valid_for_its_own_purpose_only(database, account):
    link = link_after_password_change(database, account)
    request_reset()
    reset = newest_mail(database, EMAIL, "reset_password").token
    assert outcome(secure_account(reset)) == REJECTED
    assert outcome(complete_reset(link)) == REJECTED
    assert outcome(verify_email(token=link, password=NEW_PASSWORD)) == REJECTED
    assert outcome(register(address_token=link)) == REJECTED
    assert log_in(password=NEW_PASSWORD).status == 200


@pytest.mark.sqlite
@pytest.mark.threat("function-account-enumeration")
def test_login_after_that_costs_the_same_as_one_with_a_wrong_password(database, account, hash_costs):
    link = link_after_password_change(database, account)
    costs = []
    for _ in range(2):
        hash_costs.clear()
        assert log_in(password="another password entirely").code == "invalid_credentials"
        costs.append(sum(2**cost for cost in hash_costs))
        secure_account(link)
    assert costs[0] == costs[1] > 0


@pytest.mark.sqlite
@pytest.mark.parametrize("token", ["", "mt_unknown", "mt_" + "0" * 43, "\x00"])
def test_unknown_token_is_rejected(database, account, token):
    assert outcome(secure_account(token)) == REJECTED


@pytest.mark.sqlite
def test_unknown_tokens_of_a_client_ip_are_limited(database, account, monkeypatch):
    link = link_after_password_change(database, account)
    use_limits(monkeypatch, mail_token_per_source=3)
    assert [secure_account("mt_unknown").status for _ in range(4)] == [400] * 3 + [429]
    assert secure_account(link, sourceIp="198.51.100.23").status == 204


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_forty_concurrent_uses_of_one_link_secure_once(database, isolation):
    account = sign_up()
    accounts.mark_email_verified(EMAIL)
    link = link_after_password_change(database, account)
    statuses = send_burst(40, lambda _: secure_account(link))
    assert statuses[204] >= 1
    assert statuses.keys() <= {204, 503}
    kinds = Counter(mail.kind for mail in queued_mails(database))
    assert kinds["account_secured"] == 1
    assert database.execute(select(users.c.token_version)) == [(2,)]


@pytest.mark.sqlite
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("faster", ["another use", "a reset"])
def test_request_that_is_faster_decides(database, account, faster):
    """Another request comes first, after the link was found."""
    link = link_after_password_change(database, account)
    request_reset()
    reset = newest_mail(database, EMAIL, "reset_password").token
    others = {"another use": lambda: secure_account(link), "a reset": lambda: complete_reset(reset)}
    with before_reading("password_hash", others[faster]):
        response = secure_account(link)
    if faster == "another use":
        assert response.status == 204
        assert [mail.kind for mail in queued_mails(database)].count("account_secured") == 1
    else:
        assert outcome(response) == REJECTED
        assert log_in(password=NEW_PASSWORD).status == 200

"""Notices of changes: which change sends one, to whom, and what it says."""

from datetime import UTC, datetime

import pytest

from auth_common.accounts import administration as accounts
from auth_common.database.tables import mail_tokens, mails
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, Account, change_password, sign_up
from tests.support.mail_links import complete_reset, newest_mail, queued_mails, request_reset
from tests.support.passkeys import enrol
from tests.support.step_ups import call_on_passkey

pytestmark = [pytest.mark.mail]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CLIENT = {"sourceIp": "198.51.100.77", "userAgent": FIREFOX}


@pytest.fixture
def account(database) -> Account:
    """A user with a verified address, who has got no mail yet."""
    account = sign_up()
    accounts.mark_email_verified(EMAIL)
    database.execute(mails.delete())
    return account


def notices(database):
    return [mail for mail in queued_mails(database) if mail.kind not in {"verify_email", "reset_password"}]


def reset_password(account, database):
    request_reset()
    complete_reset(newest_mail(database, EMAIL, "reset_password").token, **CLIENT)


def remove_passkey(account, database):
    holder = enrol(account)
    database.execute(mails.delete())
    token = holder.log_in().json["access_token"]
    database.execute(mails.delete())
    assert call_on_passkey(holder, token, "DELETE", **CLIENT).status == 204


def remove_passkeys_as_operator(account, database):
    enrol(account)
    database.execute(mails.delete())
    accounts.remove_passkeys(EMAIL)


CHANGES = {
    "password_changed": lambda account, _: change_password(account, **CLIENT),
    "password_reset": reset_password,
    "passkey_added": lambda account, _: enrol(account),
    "passkey_removed": remove_passkey,
}


@pytest.mark.asvs("6.3.7")
@pytest.mark.parametrize("kind", CHANGES)
def test_user_gets_a_notice_of_each_changed_credential(database, account, kind):
    CHANGES[kind](account, database)
    (notice,) = notices(database)
    assert (notice.kind, notice.recipient) == (kind, EMAIL)
    assert notice.undo_token.startswith("mt_")


@pytest.mark.sqlite
def test_notice_says_when_and_from_where(database, account):
    change_password(account, **CLIENT)
    (notice,) = notices(database)
    told = {name: text for name, text in notice.variables.items() if name in {"device", "client_ip"}}
    assert told == {"device": "Firefox, Linux", "client_ip": CLIENT["sourceIp"]}
    assert notice.variables["time"].startswith(datetime.now(UTC).strftime("%Y-%m-%d "))


@pytest.mark.sqlite
@pytest.mark.asvs("6.3.7")
def test_user_gets_a_notice_of_what_an_operator_changes(database, account):
    remove_passkeys_as_operator(account, database)
    accounts.disable_user(EMAIL)
    removed, disabled = notices(database)
    assert (removed.kind, disabled.kind) == ("passkey_removed", "account_disabled")
    assert (disabled.variables["device"], disabled.variables["client_ip"], disabled.undo_token) == ("", "", "")


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
@pytest.mark.parametrize("kind", ["password_changed", "passkey_added"])
def test_address_that_is_not_verified_gets_no_notice(database, kind):
    """It may belong to another user, who must learn no client IP of the account."""
    account = sign_up()
    CHANGES[kind](account, database)
    assert notices(database) == []


@pytest.mark.sqlite
def test_without_mail_no_token_is_stored(database, account, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    database.execute(mail_tokens.delete())
    assert change_password(account).status == 204
    assert database.count(mail_tokens) == 0

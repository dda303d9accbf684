"""POST /account/secure, "this was not me": what it takes away, and what stays."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.privileges import SECURING_ROLE
from auth_common.database.tables import mail_tokens, mails, passkeys, users
from tests.support.databases import Database, acting_as, start_fresh_environment
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    Account,
    change_password,
    erase,
    is_session_accepted,
    log_in,
    step_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    change_email,
    complete_reset,
    newest_mail,
    queued_mails,
    request_reset,
    secure_account,
)
from tests.support.outages import UNAVAILABLE, failing_statements
from tests.support.passkeys import complete_login, enrol

pytestmark = [pytest.mark.accounts]

REJECTED = (400, "invalid_or_expired_code")


def newest_link(database: Database, kind: str = "password_changed") -> str:
    """Return the token of the newest notice of a kind."""
    return newest_mail(database, EMAIL, kind).undo_token


def link_after_password_change(database: Database, account: Account) -> str:
    """Change the password as an attacker with a copy of the session, and return the token of the user's notice."""
    assert change_password(account).status == 204
    return newest_link(database)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.7", "7.4.2")
@pytest.mark.threat("caller-unnoticed-change")
def test_link_revokes_sessions_and_ends_the_password_until_a_reset(database, account, log_lines):
    link = link_after_password_change(database, account)
    attacker = log_in(password=NEW_PASSWORD).json
    with acting_as(SECURING_ROLE):
        response = secure_account(link)
    assert (response.status, response.text) == (204, "")
    assert not is_session_accepted(account.id, attacker)
    assert log_in().status == log_in(password=NEW_PASSWORD).status == 401
    events = [(event["name"], event.get("reason")) for event in log_lines.security_events]
    assert ("user_secured", None) in events
    assert ("authn_token_revoked", "account_secured") in events

    request_reset()
    words = "quiet harbour ninety maples"
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token, words).status == 204
    assert log_in(password=words).status == 200


@pytest.mark.sqlite
def test_user_is_told_what_was_done_and_how_to_go_on(database, account):
    secure_account(link_after_password_change(database, account))
    told = newest_mail(database, EMAIL, "account_secured")
    assert (told.token, told.undo_token) == ("", "")


@pytest.mark.sqlite
@pytest.mark.threat("caller-unnoticed-change", "function-undo-misused")
def test_passkeys_since_the_event_are_removed_and_older_ones_log_in_alone(database, account):
    older = enrol(account)
    database.execute(update(passkeys).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
    token = older.log_in().json["access_token"]
    attacker = Account(account.id, EMAIL, token, "")
    newer = enrol(attacker)
    assert newer.log_in_with_passkey_alone().status == 200
    assert secure_account(newest_link(database, "passkey_added")).status == 204
    assert newer.log_in_with_passkey_alone().status == 401
    assert older.log_in_with_passkey_alone().status == 200
    assert database.count(passkeys) == 1


@pytest.mark.aurora_dsql
@pytest.mark.threat("caller-unnoticed-change")
def test_change_of_the_address_is_undone(database, account):
    change_email(database, account, "attacker@example.net")
    change_email_again(database, account)
    link = newest_link(database, "email_changed")
    with acting_as(SECURING_ROLE):
        assert secure_account(link).status == 204
    assert database.execute(select(users.c.email)) == [(EMAIL,)]
    assert newest_mail(database, EMAIL, "account_secured").undo_token == ""
    request_reset()
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token).status == 204
    assert log_in(password=NEW_PASSWORD).status == 200


def change_email_again(database: Database, account: Account) -> None:
    """Change the address a second time, as an attacker who wants to bury the first change."""
    step_up(account.access_token, {"current_password": PASSWORD})
    change_email(database, account, "second@example.net")


@pytest.mark.sqlite
def test_link_of_a_changed_address_expires_after_72_hours(database, account):
    change_email(database, account, "attacker@example.net")
    is_link = mail_tokens.c.purpose == "secure_account"
    ((expires_at, event_at),) = database.execute(
        select(mail_tokens.c.expires_at, mail_tokens.c.event_at).where(is_link)
    )
    assert expires_at - event_at == timedelta(hours=72)


@pytest.mark.sqlite
def test_login_and_second_factor_that_are_under_way_end(database, account):
    holder = enrol(account)
    database.execute(update(passkeys).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
    ceremony, assertion = holder.begin_and_answer_login(holder.get_mfa_token())
    secure_account(newest_link(database, "passkey_added"))
    assert complete_login(ceremony, assertion).status == 401


@pytest.mark.sqlite
def test_other_links_of_the_account_end_and_their_mails_are_not_sent(database, account):
    request_reset()
    reset = newest_mail(database, EMAIL, "reset_password").token
    link = newest_link_of_login(database)
    assert secure_account(link).status == 204
    assert outcome(complete_reset(reset)) == REJECTED
    assert "reset_password" not in {mail.kind for mail in queued_mails(database)}
    assert "new_login" in {mail.kind for mail in queued_mails(database)}


def newest_link_of_login(database: Database) -> str:
    """Log in from a new client, and return the token of the notice."""
    assert log_in(sourceIp="198.51.100.23", userAgent="attacker").status == 200
    return newest_link(database, "new_login")


@pytest.mark.sqlite
def test_second_use_changes_nothing_not_even_a_later_login(database, account):
    older = enrol(account)
    database.execute(update(passkeys).values(created_at=datetime.now(UTC) - timedelta(hours=1)))
    link = newest_link(database, "passkey_added")
    assert secure_account(link).status == 204
    user = older.log_in_with_passkey_alone().json
    enrol(Account(account.id, EMAIL, user["access_token"], user["refresh_token"]))
    told = len(queued_mails(database))
    assert secure_account(link).status == 204
    assert is_session_accepted(account.id, user)
    assert database.count(passkeys) == 2
    assert len(queued_mails(database)) == told


@pytest.mark.sqlite
def test_link_of_a_later_event_is_covered_by_the_link_of_an_earlier_one(database, account):
    earlier = link_after_password_change(database, account)
    assert log_in(password=NEW_PASSWORD, sourceIp="198.51.100.23", userAgent="attacker").status == 200
    later = newest_link(database, "new_login")
    assert secure_account(earlier).status == 204
    told = len(queued_mails(database))
    assert secure_account(later).status == 204
    assert len(queued_mails(database)) == told


@pytest.mark.sqlite
def test_link_expires_after_seven_days(database, account):
    link = link_after_password_change(database, account)
    is_link = mail_tokens.c.purpose == "secure_account"
    ((expires_at,),) = database.execute(select(mail_tokens.c.expires_at).where(is_link))
    assert timedelta(days=6, hours=23) < expires_at - datetime.now(UTC) <= timedelta(days=7)
    database.execute(update(mail_tokens).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert outcome(secure_account(link)) == REJECTED
    assert log_in(password=NEW_PASSWORD).status == 200


@pytest.mark.sqlite
def test_link_ends_with_a_password_reset(database, account):
    link = link_after_password_change(database, account)
    request_reset()
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token).status == 204
    assert outcome(secure_account(link)) == REJECTED


@pytest.mark.sqlite
def test_link_ends_with_the_erasure_of_the_account(database, account):
    link = link_after_password_change(database, account)
    erase()
    assert outcome(secure_account(link)) == REJECTED
    assert database.count(mail_tokens) == database.count(mails) == 0


@pytest.mark.sqlite
def test_disabled_account_is_secured_and_stays_disabled(database, account):
    link = link_after_password_change(database, account)
    accounts.disable_user(EMAIL)
    assert secure_account(link).status == 204
    assert database.execute(select(users.c.status)) == [("disabled",)]
    accounts.enable_user(EMAIL)
    assert log_in(password=NEW_PASSWORD).status == 401


@pytest.mark.sqlite
def test_failure_of_the_database_spends_no_link(database, account):
    link = link_after_password_change(database, account)
    with failing_statements("DELETE FROM passkeys", error=UNAVAILABLE):
        assert secure_account(link).status == 503
    assert log_in(password=NEW_PASSWORD).status == 200
    assert secure_account(link).status == 204
    assert log_in(password=NEW_PASSWORD).status == 401


@pytest.mark.sqlite
def test_without_mail_the_route_returns_503(database, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert outcome(secure_account("mt_unknown")) == (503, "mail_not_configured")

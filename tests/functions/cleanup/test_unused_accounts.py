"""Accounts that were neither used nor verified within 30 days are deleted. All others stay."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, update

from auth_common.accounts import administration as accounts
from auth_common.database.privileges import CLEANUP_ROLE
from auth_common.database.tables import (
    audit_events,
    audit_salts,
    mail_tokens,
    mails,
    passkeys,
    refresh_tokens,
    sessions,
    users,
)
from auth_common.operations.cleanup import BATCH_ACCOUNTS
from functions.cleanup.app import handler
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import lambda_context
from tests.support.factories import EMAIL, PASSWORD, get_user, log_in, register
from tests.support.mail_links import newest_mail, verify_email
from tests.support.passkeys import enrol

pytestmark = [pytest.mark.operations, pytest.mark.accounts]


def clean_up():
    with acting_as(CLEANUP_ROLE):
        return handler({}, lambda_context("cleanup"))["deleted"]


def let_a_month_pass(database):
    """Move the time for a first use into the past, for the accounts that have one."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(users).where(users.c.unused_until.is_not(None)).values(unused_until=past))


@pytest.mark.aurora_dsql
@pytest.mark.asvs("14.2.7")
def test_unused_unverified_account_is_deleted_with_its_data(database):
    user_id = UUID(register().json["id"])
    ((unused_until,),) = database.execute(select(users.c.unused_until))
    assert timedelta(days=29) < unused_until - datetime.now(UTC) <= timedelta(days=30)
    assert clean_up()["unused_accounts"] == 0
    let_a_month_pass(database)
    deleted = clean_up()
    assert deleted["unused_accounts"] == 1
    assert [database.count(table) for table in (users, mails, mail_tokens, audit_salts)] == [0, 0, 0, 0]
    of_user = select(audit_events.c.reason, audit_events.c.source).where(audit_events.c.user_id == user_id)
    records = database.execute(of_user)
    assert "never_used" in [row.reason for row in records]
    assert {row.source for row in records} == {None}
    assert register().status == 201


@pytest.mark.parametrize("use", ["login", "verification", "operator", "passkey"])
def test_account_that_was_used_or_verified_stays(database, use):
    if use == "passkey":
        enrol()
    else:
        register()
    if use == "login":
        log_in()
    elif use == "verification":
        verify_email(token=newest_mail(database, EMAIL, "verify_email").token, password=PASSWORD)
    elif use == "operator":
        accounts.mark_email_verified(EMAIL)
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 0
    assert log_in().status == 200


@pytest.mark.parametrize("is_older", [False, True])
def test_disabled_account_stays(database, is_older):
    """The decision of an operator must not vanish, also that about an account from before this rule."""
    user_id = UUID(register().json["id"])
    accounts.disable_user(EMAIL)
    if is_older:
        database.execute(update(users).values(unused_until=datetime.now(UTC) - timedelta(seconds=1)))
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 0
    assert database.execute(select(users.c.id, users.c.status)) == [(user_id, "disabled")]
    if not is_older:
        accounts.enable_user(EMAIL)
        assert clean_up()["unused_accounts"] == 0
        assert log_in().status == 200


@pytest.mark.sqlite
def test_account_whose_login_cleared_no_time_stays(database):
    """A function of the previous version, after a rollback, does not know the time."""
    register()
    ((unused_until,),) = database.execute(select(users.c.unused_until))
    log_in()
    database.execute(update(users).values(unused_until=unused_until))
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 0
    assert log_in().status == 200


@pytest.mark.sqlite
def test_account_with_a_passkey_whose_login_cleared_no_time_stays(database):
    """Its sessions have expired since the rollback."""
    enrol()
    database.execute(update(users).values(unused_until=datetime.now(UTC)))
    database.execute(delete(refresh_tokens))
    database.execute(delete(sessions))
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 0
    assert database.count(passkeys) == 1


@pytest.mark.sqlite
def test_accounts_of_a_service_without_mail_stay(database, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    register()
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 0
    assert log_in().status == 200


@pytest.mark.aurora_dsql
def test_any_number_of_unused_accounts_is_deleted(database):
    """Aurora DSQL takes 3,000 rows in a transaction."""
    register()
    (row,) = database.execute(select(users))
    copies = [row._asdict() | {"id": uuid4(), "email": f"{n}@example.com"} for n in range(2 * BATCH_ACCOUNTS)]
    database.execute(insert(users).values(copies))
    let_a_month_pass(database)
    assert clean_up()["unused_accounts"] == 2 * BATCH_ACCOUNTS + 1
    assert database.count(users) == 0


@pytest.mark.sqlite
def test_user_who_has_logged_in_reads_their_data_after_a_month(database):
    user_id = register().json["id"]
    token = log_in().json["access_token"]
    let_a_month_pass(database)
    clean_up()
    assert get_user(user_id, token=token).status == 200

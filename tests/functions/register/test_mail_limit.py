"""Registrations beyond the limit of mails of a client IP: they succeed, and send no mail."""

import pytest
from sqlalchemy import select

from auth_common.accounts import administration as accounts
from auth_common.database.privileges import REGISTRATION_ROLE
from auth_common.database.tables import audit_events, mail_tokens, mails, users
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import NEW_PASSWORD, get_health, log_in, register
from tests.support.mail_links import newest_mail, queued_mails, request_reset, request_verification
from tests.support.mails import FakeTransport, send_mails
from tests.support.outages import on_each_statement
from tests.support.races import send_burst
from tests.support.throttles import OTHER_CLIENT_IP, count_of, use_limits

pytestmark = [pytest.mark.accounts, pytest.mark.throttling, pytest.mark.mail]

LIMIT = 10


@pytest.mark.aurora_dsql
@pytest.mark.threat("function-mail-flood")
def test_client_ip_causes_ten_mails_an_hour_over_all_requests(database):
    for number in range(LIMIT - 2):
        register(email=f"person{number}@example.com")
    assert request_reset("person0@example.com").status == 202
    assert request_verification("person1@example.com").status == 202
    assert len(queued_mails(database)) == LIMIT
    # Registrations are still allowed. Their users can request the mail later.
    assert register(email="late@example.com").status == 201
    assert log_in("late@example.com").status == 200
    assert len(queued_mails(database)) == LIMIT
    assert request_verification("late@example.com").status == request_reset("person2@example.com").status == 429
    assert request_verification("late@example.com", sourceIp=OTHER_CLIENT_IP).status == 202
    assert [mail.recipient for mail in queued_mails(database)][LIMIT:] == ["late@example.com"]


@pytest.mark.threat("function-mail-flood", "function-race")
def test_burst_of_registrations_sends_ten_mails(database):
    statuses = send_burst(20, lambda number: register(email=f"person{number}@example.com"))
    assert statuses == {201: 20}
    assert len(queued_mails(database)) == LIMIT


@pytest.mark.aurora_dsql
@pytest.mark.threat("function-mail-flood")
def test_attacker_who_replaces_accounts_cannot_exceed_the_mails_of_an_hour(database, monkeypatch):
    """Each address of the attacker gets two mails. Its account and the account's mails are then deleted."""
    monkeypatch.setenv("MAIL_PER_HOUR", "20")
    monkeypatch.setenv("NEUTRAL_REGISTRATION", "true")
    start_fresh_environment()
    transport = FakeTransport().install(monkeypatch)
    for number in range(LIMIT):
        email, identity = f"attacker{number}@example.com", {"sourceIp": f"192.0.2.{number}"}
        register(identity, email=email)
        request_reset(email, **identity)
        token = newest_mail(database, email, "register_again").token
        send_mails()
        with acting_as(REGISTRATION_ROLE):
            assert register(identity, email=email, address_token=token).status == 201
    assert len(transport.sent) == LIMIT
    kept = database.execute(select(mails.c.user_id, mails.c.sealed, mails.c.provider_message_id))
    assert {tuple(row) for row in kept} <= {(None, None, None)}


@pytest.mark.sqlite
def test_taken_address_and_weak_password_use_up_no_mail(database):
    register()
    assert register().status == 409
    assert register(email="new@example.com", password="short").status == 422
    assert count_of(database, "mail_source", SOURCE_IP) == 1


@pytest.mark.sqlite
def test_without_mail_registrations_count_no_mail(database, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    register()
    assert count_of(database, "mail_source", SOURCE_IP) == 0


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration", "function-mail-flood")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("setting", [("EMAIL_VERIFICATION", "required"), ("NEUTRAL_REGISTRATION", "true")], ids=str)
def test_registration_beyond_the_limit_reveals_no_account(database, monkeypatch, setting):
    """New, taken and unverified addresses cause the same response, statements and rows."""
    monkeypatch.setenv(*setting)
    use_limits(monkeypatch, mail_per_source=3)
    for name in ("verified", "disabled", "unverified"):
        register(email=f"{name}@example.com")
    accounts.mark_email_verified("verified@example.com")
    accounts.disable_user("disabled@example.com")
    get_health()
    register(email="first@example.com")  # The first rejection of the lockout is recorded.
    sent = len(queued_mails(database))
    seen = []
    for name in ("verified", "disabled", "unverified", "new"):
        before = [database.count(table) for table in (mail_tokens, mails)]
        statements: list[str] = []
        with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
            response = register(email=f"{name}@example.com", password=NEW_PASSWORD)
        added = [database.count(table) - old for table, old in zip((mail_tokens, mails), before, strict=True)]
        seen.append((response.status, response.json, len(statements), added))
    assert seen == seen[:1] * 4
    assert seen[0][0] == 202
    assert len(queued_mails(database)) == sent
    assert database.count(users) == 5
    assert database.count(audit_events) > 0

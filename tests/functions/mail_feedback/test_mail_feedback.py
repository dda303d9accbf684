"""Bounces and complaints of Amazon SES: what EventBridge delivers, and what an attacker could make SES report."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from auth_common.database.privileges import CLEANUP_ROLE, MAIL_ROLE
from auth_common.database.tables import audit_events, mail_suppressions, mails
from auth_common.mail.feedback import InvalidFeedback
from auth_common.mail.kinds import MailKind
from auth_common.mail.suppression_store import (
    delete_expired_suppressions,
    delete_suppression,
    select_suppression,
    suppress_address,
)
from auth_common.transactions import read, transaction
from functions.mail_feedback.app import handler
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import lambda_context
from tests.support.factories import erase, sign_up
from tests.support.mails import queue, send_mails

pytestmark = [pytest.mark.mail, pytest.mark.aurora_dsql]

EVENTS = Path(__file__).parents[2] / "data" / "ses_events"
RECIPIENT = "ada@example.com"


@pytest.fixture(autouse=True)
def configuration_set(database, monkeypatch):
    monkeypatch.setenv("SES_CONFIGURATION_SET", "auth-mail")
    start_fresh_environment()


def recorded(name, **mail):
    """Return an event that SES has sent, with changes of its mail."""
    event = json.loads((EVENTS / f"{name}.json").read_text())
    event["detail"]["mail"] |= mail
    return event


def deliver(event):
    with acting_as(MAIL_ROLE):
        return handler(event, lambda_context("mail_feedback"))


def suppression(email=RECIPIENT):
    with acting_as(MAIL_ROLE):
        return read(lambda connection: select_suppression(connection, email=email, now=datetime.now(UTC)))


def events(database):
    query = select(audit_events.c.reason, audit_events.c.record).where(audit_events.c.name == "mail_bounced")
    return [(reason, json.loads(record)) for reason, record in database.execute(query)]


@pytest.fixture
def sent_mail(database):
    """A mail that SES has accepted. The value is its id."""
    now = datetime.now(UTC)
    mail_id = uuid4()
    values = {
        "id": mail_id,
        "kind": "reset_password",
        "state": "sent",
        "created_at": now,
        "expires_at": now,
        "attempts": 1,
        "unrecorded_attempts": 0,
        "provider_message_id": recorded("permanent_bounce")["detail"]["mail"]["messageId"],
    }
    transaction(lambda connection: connection.execute(insert(mails), values))
    return mail_id


@pytest.mark.parametrize("name", ["permanent_bounce", "suppressed_bounce"])
def test_permanent_bounce_suppresses_the_address(database, sent_mail, name):
    deliver(recorded(name))
    found = suppression()
    assert found.bounced_at is not None
    assert found.complained_at is None
    ((reason, _),) = events(database)
    assert reason == "permanent"
    assert database.execute(select(mails.c.state)) == [("bounced",)]


@pytest.mark.parametrize("name", ["transient_bounce", "undetermined_bounce"])
def test_other_bounce_is_recorded_and_suppresses_nothing(database, sent_mail, name):
    deliver(recorded(name))
    assert suppression() is None
    assert [reason for reason, _ in events(database)] == ["transient"]
    assert database.execute(select(mails.c.state)) == [("bounced",)]


@pytest.mark.parametrize("name", ["complaint", "complaint_without_type"])
def test_complaint_is_stored_beside_a_bounce(database, sent_mail, name):
    deliver(recorded(name))
    assert suppression().bounced_at is None
    complained_at = suppression().complained_at
    assert database.execute(select(mails.c.state)) == [("sent",)]
    deliver(recorded("permanent_bounce"))
    assert suppression().complained_at == complained_at
    assert suppression().bounced_at is not None
    assert sorted(reason for reason, _ in events(database)) == ["complaint", "permanent"]


def test_report_that_a_mail_is_no_spam_changes_nothing(database):
    deliver(recorded("no_spam"))
    assert (suppression(), events(database)) == (None, [])


def test_report_about_an_unknown_mail_counts(database):
    """SES may report a bounce before the sender has recorded the mail's id."""
    deliver(recorded("permanent_bounce", messageId="another"))
    assert suppression() is not None
    assert len(events(database)) == 1


def test_second_delivery_of_an_event_changes_nothing(database, sent_mail):
    for _ in range(2):
        deliver(recorded("permanent_bounce"))
    assert len(database.execute(select(mail_suppressions))) == 1


@pytest.mark.threat("mail-forged-bounce")
def test_address_in_the_report_of_a_foreign_server_is_not_suppressed(database):
    """The server of the recipient writes the report. An attacker's server names a victim in it."""
    event = recorded("permanent_bounce", destination=["attacker@evil.example"])
    event["detail"]["bounce"]["bouncedRecipients"][0]["emailAddress"] = "victim@example.com"
    deliver(event)
    assert suppression("victim@example.com") is None
    assert suppression("attacker@evil.example") is not None


@pytest.mark.threat("mail-forged-bounce")
@pytest.mark.parametrize(
    "change",
    [
        {"source": "com.attacker"},
        {"detail-type": "Email Delivered"},
        {"detail": None},
        {"detail": {"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}}},
        {"mail": {"tags": {}}},
        {"mail": {"tags": {"ses:configuration-set": ["another"]}}},
        {"mail": {"destination": []}},
        {"mail": {"destination": RECIPIENT}},
        {"mail": {"destination": ["not an address"]}},
        {"mail": {"destination": [1]}},
        {"mail": {"destination": [RECIPIENT, "bob@example.com"]}},
        {"mail": {"messageId": None}},
        {"report": {"eventType": "Open"}},
        {"report": {"bounce": {"bounceType": "Later"}}},
        {"report": {"bounce": []}},
    ],
    ids=str,
)
def test_event_of_another_shape_is_rejected_without_a_trace_of_it(database, change):
    mail = change.get("mail", {})
    event = recorded("permanent_bounce", **mail)
    event["detail"] |= change.get("report", {})
    event |= {name: value for name, value in change.items() if name not in {"mail", "report"}}
    with pytest.raises(InvalidFeedback) as raised:
        deliver(event)
    assert "example" not in str(raised.value)
    assert database.execute(select(mail_suppressions)) == []


@pytest.mark.parametrize(
    ("name", "notice_of_login", "other"),
    [
        ("permanent_bounce", "discarded", "discarded"),
        ("complaint", "discarded", "sent"),
        ("transient_bounce", "sent", "sent"),
    ],
)
def test_bounce_stops_all_mail_and_complaint_stops_notices_of_logins(database, name, notice_of_login, other):
    """An attacker who reads the mailbox must not be able to stop the notice of a changed password by a complaint."""
    deliver(recorded(name))
    outcomes = {MailKind.NEW_LOGIN: notice_of_login, MailKind.RESET_PASSWORD: other, MailKind.PASSWORD_CHANGED: other}
    for kind, outcome in outcomes.items():
        queue(kind, recipient=RECIPIENT)
        assert send_mails() == {outcome: 1}
        queue(kind, recipient="bob@example.com")
        assert send_mails() == {"sent": 1}


def test_erasure_deletes_the_suppression(database):
    sign_up(email=RECIPIENT)
    deliver(recorded("permanent_bounce"))
    erase(RECIPIENT)
    assert database.execute(select(mail_suppressions)) == []


def test_table_reveals_no_address(database):
    deliver(recorded("permanent_bounce"))
    (row,) = database.execute(select(mail_suppressions))
    assert b"ada@" not in repr(row).encode()
    # Spellings of one mailbox are one address.
    deliver(recorded("complaint", destination=["Ada@Example.COM"]))
    assert len(database.execute(select(mail_suppressions))) == 1


def test_suppression_ends_by_command_or_when_it_expires(database):
    deliver(recorded("permanent_bounce"))

    def delete_by_command():
        with acting_as("admin"):
            return transaction(lambda connection: delete_suppression(connection, email=RECIPIENT))

    assert delete_by_command() is True
    assert suppression() is None
    assert delete_by_command() is False

    now = datetime.now(UTC)

    def suppress_two(connection):
        for days in (-1, 1):
            expires_at = now + timedelta(days=days)
            suppress_address(connection, email=f"{days}@example.com", bounced_at=now, expires_at=expires_at)

    with acting_as(MAIL_ROLE):
        transaction(suppress_two)
    # A row that has expired counts no longer, also before the clean-up.
    assert suppression("-1@example.com") is None
    with acting_as(CLEANUP_ROLE):
        assert transaction(lambda connection: delete_expired_suppressions(connection, now, limit=10)) == 1
    assert suppression("1@example.com") is not None

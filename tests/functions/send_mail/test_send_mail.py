"""The sender: leases, attempts, outcomes, and what is left of a mail afterwards."""

import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from auth_common.database.privileges import MAIL_ROLE
from auth_common.database.tables import audit_salts, mails
from auth_common.mail import sender
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.outbox import DECOY
from auth_common.mail.transports import MAX_SECONDS, MailDeferred, MailRefused
from local_runtime.template import load_template
from tests.support.clocks import clock_off_by
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.factories import EMAIL, erase, sign_up
from tests.support.mails import (
    FakeTransport,
    mailbox,
    make_due,
    only_mail,
    queue,
    send_mails,
)
from tests.support.outages import on_each_statement
from tests.support.races import on_each_isolation_level, send_at_once

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("registration_without_mail")]

PROJECT = Path(__file__).parents[3]


def raising(error):
    def behave():
        raise error

    return behave


def states(database):
    return sorted(database.execute(select(mails.c.state)))


@pytest.mark.aurora_dsql
def test_queued_mail_is_sent_once_recorded_and_wiped(database, environment, log_lines):
    user = sign_up()
    queue(user_id=user.id)
    assert send_mails() == {"sent": 1}
    (message,) = mailbox(environment)
    row = only_mail(database)
    assert (message["To"], str(row.id) in message["Message-ID"]) == (EMAIL, True)
    assert (row.state, row.sealed, row.next_attempt_at, row.lease) == ("sent", None, None, None)
    (event,) = [event for event in log_lines.security_events if event["name"] == "mail_sent"]
    assert (event["user_id"], event["target"], event["mail_kind"]) == (user.id, str(row.id), "verify_email")
    assert send_mails() == {}


@pytest.mark.sqlite
def test_mails_in_the_local_mailbox_are_readable_by_their_user_only(database, environment):
    queue()
    send_mails()
    (file,) = (environment / "mail").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.threat("function-mail-lost-or-repeated")
@on_each_isolation_level
def test_senders_at_once_send_each_mail_once(database, isolation, environment, monkeypatch):
    for number in range(12):
        queue(recipient=f"user{number}@example.com")
    transport = FakeTransport().install(monkeypatch)
    results = send_at_once(*[send_mails] * 6)
    assert sorted(message["To"] for message in transport.sent) == sorted(f"user{n}@example.com" for n in range(12))
    assert sum(result.get("sent", 0) for result in results) == 12


@pytest.mark.aurora_dsql
def test_sender_that_lost_its_lease_records_nothing(database, monkeypatch, log_lines):
    """The first sender hangs until its lease has ended. The second one sends and records, and the first does not."""
    queue()
    started, go_on = Event(), Event()

    def hang():
        started.set()
        go_on.wait(20)
        return "the first"

    slow = FakeTransport(hang).install(monkeypatch)
    with acting_as(MAIL_ROLE), ThreadPoolExecutor(1) as elsewhere:
        first = elsewhere.submit(sender.send_due_mails)
        started.wait(20)
        fast = FakeTransport(lambda: "the second").install(monkeypatch)
        make_due(database)
        assert sender.send_due_mails() == {"sent": 1}
        go_on.set()
        assert first.result() == {}
    assert (len(slow.sent), len(fast.sent)) == (1, 1)
    assert only_mail(database).provider_message_id == "the second"
    assert log_lines.reasons("mail_sent") == [None]
    assert "the lease of a mail had ended" in log_lines.text


def run_until_killed(action):
    """Run ``action`` in a process of its own, which must end by SIGKILL."""
    start_fresh_environment()
    if (pid := os.fork()) == 0:
        try:
            action()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def send_and_crash(database):
    """Crash after the mail was sent and before the database has its outcome."""

    def kill_at_record(statement, _parameters):
        if statement.startswith("UPDATE mails SET sealed"):
            os.kill(os.getpid(), signal.SIGKILL)

    def send():
        with on_each_statement(kill_at_record):
            sender.send_due_mails()

    run_until_killed(send)
    make_due(database)


def queue_and_crash():
    queue()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.threat("function-mail-lost-or-repeated")
def test_crashes_between_sending_and_recording_send_at_most_twice(database, environment, log_lines):
    queue()
    send_and_crash(database)
    assert len(mailbox(environment)) == 1
    send_and_crash(database)
    first, second = mailbox(environment)
    # A mail program that knows the Message-ID shows the mail once.
    assert first["Message-ID"] == second["Message-ID"]
    assert send_mails() == {"failed": 1}
    assert len(mailbox(environment)) == 2
    assert log_lines.reasons("mail_failed") == ["outcome_unknown"]
    assert only_mail(database).sealed is None


@pytest.mark.threat("function-mail-lost-or-repeated")
def test_mail_survives_crashes_before_and_during_its_sending(database, environment):
    run_until_killed(queue_and_crash)
    send_and_crash(database)
    assert send_mails() == {"sent": 1}
    assert len(mailbox(environment)) == 2


def test_deferred_mail_is_retried_with_growing_pauses_and_then_given_up(database, monkeypatch, log_lines):
    transport = FakeTransport(raising(MailDeferred("busy"))).install(monkeypatch)
    queue(MailKind.PASSWORD_CHANGED)
    pauses = []
    for _ in range(sender.MAX_ATTEMPTS - 1):
        assert send_mails() == {"queued": 1}
        pauses.append(only_mail(database).next_attempt_at - datetime.now(UTC))
        assert send_mails() == {}
        make_due(database)
    minutes = [round(pause.total_seconds() / 60) for pause in pauses]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 180, 180, 180]
    assert send_mails() == {"failed": 1}
    (event,) = [event for event in log_lines.security_events if event["name"] == "mail_failed"]
    assert (event["reason"], event["cause"], event["attempts"]) == ("attempts_used_up", "busy", sender.MAX_ATTEMPTS)
    row = only_mail(database)
    assert (row.state, row.sealed, row.next_attempt_at, transport.sent) == ("failed", None, None, [])


@pytest.mark.sqlite
def test_refused_mail_is_given_up_at_once(database, monkeypatch, log_lines):
    FakeTransport(raising(MailRefused("rejected_address"))).install(monkeypatch)
    queue()
    assert send_mails() == {"failed": 1}
    assert [event["cause"] for event in log_lines.security_events if event["name"] == "mail_failed"] == [
        "rejected_address"
    ]


@pytest.mark.sqlite
def test_mail_that_waits_until_its_expiry_is_wiped_unsent(database, monkeypatch, log_lines):
    """The next attempt is never after the expiry, so the content is wiped then."""
    transport = FakeTransport(raising(MailDeferred("busy"))).install(monkeypatch)
    queue(MailKind.RESET_PASSWORD)
    lifetime = MAIL_RULES[MailKind.RESET_PASSWORD].lifetime
    with clock_off_by(lifetime.total_seconds() - 30):
        assert send_mails() == {"queued": 1}
    assert only_mail(database).next_attempt_at == only_mail(database).expires_at
    transport.behave = lambda: None
    with clock_off_by(lifetime.total_seconds()):
        assert send_mails() == {"failed": 1}
    assert (only_mail(database).sealed, transport.sent) == (None, [])
    assert log_lines.reasons("mail_failed") == ["expired"]


@pytest.mark.sqlite
def test_fault_in_one_mail_is_logged_without_values_and_stops_no_other(database, monkeypatch, log_lines):
    """The text of an exception can contain an address, as those of smtplib do."""
    queue()
    errors = [LookupError(f"no mailbox {EMAIL}"), None]

    def fail_once():
        if error := errors.pop(0):
            raise error

    transport = FakeTransport(fail_once).install(monkeypatch)
    queue(recipient="other@example.com")
    assert send_mails() == {"queued": 1, "sent": 1}
    (record,) = [record for record in log_lines.records if record["message"] == "a mail could not be sent"]
    assert (record["error"], len(transport.sent)) == ("LookupError", 1)
    assert "fail_once" in record["stack"][-1]
    assert EMAIL not in log_lines.text


@pytest.mark.sqlite
def test_mail_of_a_newer_version_waits_for_that_version(database, log_lines):
    """After a rollback of a deployment, a mail of the newer version may be in the outbox."""
    queue()
    database.execute(update(mails).values(kind="from_the_future"))
    assert send_mails() == {"queued": 1}


@pytest.mark.sqlite
@pytest.mark.threat("database-mail-content")
@pytest.mark.parametrize("has_account", [True, False])
def test_changed_mail_is_never_sent(database, environment, has_account, log_lines):
    """An attacker who can write to the database cannot send another user's link to an address of their own."""
    user = sign_up()
    queue(user_id=user.id if has_account else None)
    row = only_mail(database)
    queue(user_id=sign_up("other@example.com").id, recipient="other@example.com")
    database.execute(update(mails).where(mails.c.id != row.id).values(sealed=row.sealed))
    assert send_mails() == {"sent": 1, "failed": 1}
    assert [message["To"] for message in mailbox(environment)] == [EMAIL]
    assert log_lines.reasons("mail_failed") == ["unreadable"]


@pytest.mark.aurora_dsql
def test_erasing_a_user_erases_pending_mails(database, environment):
    user = sign_up()
    other = sign_up("other@example.com")
    queue(user_id=user.id)
    queue(MailKind.PASSWORD_CHANGED, user_id=user.id)
    queue(user_id=other.id, recipient="other@example.com")
    erase()
    assert only_mail(database).user_id == UUID(other.id)
    assert send_mails() == {"sent": 1}
    assert [message["To"] for message in mailbox(environment)] == ["other@example.com"]


@pytest.mark.sqlite
def test_mail_that_was_queued_during_an_erasure_cannot_be_read(database, environment, log_lines):
    """The erasure deletes the key, also of a mail that it does not see."""
    user = sign_up()
    queue(user_id=user.id)
    database.execute(delete(audit_salts).where(audit_salts.c.user_id == UUID(user.id)))
    assert send_mails() == {"failed": 1}
    assert mailbox(environment) == []


@pytest.mark.sqlite
def test_decoy_is_discarded_without_an_event(database, environment, log_lines):
    queue(recipient=DECOY)
    assert send_mails() == {"discarded": 1}
    row = only_mail(database)
    assert (row.state, row.sealed, mailbox(environment)) == ("discarded", None, [])
    assert log_lines.security_events == []


@pytest.mark.sqlite
def test_attempt_begins_only_if_it_ends_before_the_timeout(database, environment):
    queue()
    assert send_mails(timeout=MAX_SECONDS) == {}
    assert only_mail(database).attempts == 0
    assert send_mails(timeout=load_timeout()) == {"sent": 1}


def load_timeout():
    template = load_template(PROJECT / "template.yaml")
    return next(function.timeout for function in template.functions if function.name == "SendMailFunction")


def test_lease_outlives_the_timeout_of_the_function():
    assert timedelta(seconds=load_timeout()) < sender.LEASE


@pytest.mark.sqlite
def test_late_mails_are_counted_for_the_alarm(database, monkeypatch, log_lines):
    transport = FakeTransport(raising(MailDeferred("busy"))).install(monkeypatch)
    queue()
    send_mails()
    assert counted(log_lines, "mail_overdue") == 0
    make_due(database)
    transport.behave = lambda: None
    with clock_off_by(sender.OVERDUE_AFTER.total_seconds() + 1):
        send_mails()
    assert counted(log_lines, "mail_overdue") == 1


def counted(log_lines, name):
    return sum(name in metric for metric in log_lines.metrics)


@pytest.mark.sqlite
def test_more_mails_than_one_look_up_finds_are_sent(database, environment, monkeypatch):
    monkeypatch.setattr(sender, "BATCH_MAILS", 2)
    for _ in range(5):
        queue()
    assert send_mails() == {"sent": 5}


@pytest.mark.sqlite
def test_without_a_transport_mails_wait(database, monkeypatch):
    queue()
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert send_mails() == {"queued": 1}


@pytest.mark.sqlite
def test_mailbox_that_cannot_be_written_defers_the_mail(database, environment, log_lines):
    queue()
    (environment / "mail").write_text("not a folder")
    assert send_mails() == {"queued": 1}
    assert "mailbox_not_writable" in log_lines.text


@pytest.mark.sqlite
def test_fault_in_a_text_of_the_deployer_is_logged_and_defers_the_mail(database, monkeypatch, tmp_path, log_lines):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "frame.html").write_text("nothing")
    monkeypatch.setenv("MAIL_TEXTS_DIR", str(folder))
    start_fresh_environment()
    queue()
    assert send_mails() == {"queued": 1}
    (record,) = [record for record in log_lines.records if record["message"] == "a mail could not be sent"]
    assert record["error"] == "MAIL_TEXTS_DIR: frame.html must contain $content"
    # The next attempt reads the folder again.
    (folder / "frame.html").unlink()
    make_due(database)
    assert send_mails() == {"sent": 1}

"""Floods of mails: the limit of an hour and its shares, accounts, and the pause after bounces."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from auth_common.database.privileges import MAIL_ROLE
from auth_common.database.tables import mail_pauses, mail_suppressions, mails
from auth_common.mail import sender
from auth_common.mail.bounce_rate import MIN_BOUNCES, WINDOW, resume_mail
from auth_common.mail.hourly_limit import FEW_ESSENTIAL, MAX_ESSENTIAL
from auth_common.mail.kinds import MAIL_RULES, MailKind, MailShare
from auth_common.mail.outbox import DECOY
from auth_common.mail.suppression_store import suppress_address
from auth_common.mail.transports import MailDeferred
from auth_common.transactions import transaction
from tests.support.clocks import clock_off_by
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.factories import sign_up
from tests.support.mails import FakeTransport, make_due, queue, send_mails
from tests.support.races import on_each_isolation_level, send_at_once

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("registration_without_mail")]

LIMIT = 20
HALF, THREE_QUARTERS = LIMIT // 2, LIMIT * 3 // 4
#: Five eighths are 12.5.
FIVE_EIGHTHS = 13
HOUR = 3_600


@pytest.fixture(autouse=True)
def limit(database, monkeypatch):
    monkeypatch.setenv("MAIL_PER_HOUR", str(LIMIT))
    start_fresh_environment()


@pytest.fixture
def transport(monkeypatch):
    return FakeTransport().install(monkeypatch)


def flood(kind, number=3 * LIMIT):
    for each in range(number):
        queue(kind, recipient=f"user{each}@example.com")


def sent_kinds(database):
    """Return the kinds of the mails that were sent, in their order."""
    return [
        row.kind for row in database.execute(select(mails.c.kind).where(mails.c.state == "sent").order_by("sent_at"))
    ]


@pytest.mark.aurora_dsql
@pytest.mark.threat("function-mail-flood")
def test_flood_at_invented_addresses_uses_half_of_the_hour(database, transport):
    flood(MailKind.VERIFY_EMAIL)
    assert send_mails() == {"sent": HALF}
    assert send_mails() == {}
    for kind in (MailKind.RESET_PASSWORD, MailKind.PASSWORD_CHANGED):
        queue(kind)
        assert send_mails() == {"sent": 1}
    with clock_off_by(HOUR + 1):
        assert send_mails() == {"sent": HALF}


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_flood_of_resets_leaves_room_for_notices_of_credentials(database, transport):
    flood(MailKind.VERIFY_EMAIL)
    flood(MailKind.RESET_PASSWORD)
    assert send_mails() == {"sent": THREE_QUARTERS}
    flood(MailKind.PASSWORD_CHANGED, LIMIT - THREE_QUARTERS)
    assert send_mails() == {"sent": LIMIT - THREE_QUARTERS}
    queue(MailKind.PASSWORD_CHANGED)
    assert send_mails() == {}
    with clock_off_by(HOUR + 1):
        send_mails()
    assert sent_kinds(database).count("password_changed") == LIMIT - THREE_QUARTERS + 1


@pytest.mark.sqlite
def test_mails_are_sent_in_the_order_of_shares(database, transport):
    for kind in (MailKind.VERIFY_EMAIL, MailKind.NEW_LOGIN, MailKind.RESET_PASSWORD, MailKind.PASSKEY_ADDED):
        queue(kind)
    assert send_mails() == {"sent": 4}
    assert sent_kinds(database) == ["passkey_added", "reset_password", "new_login", "verify_email"]


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
@pytest.mark.parametrize("kind", [MailKind.ACCOUNT_LOCKED, MailKind.NEW_LOGIN])
def test_attack_on_the_logins_of_many_accounts_leaves_room_for_their_resets(database, transport, kind):
    """A botnet locks more accounts than the hour has mails for. Then their users request resets."""
    flood(MailKind.VERIFY_EMAIL)
    flood(kind)
    assert send_mails() == {"sent": FIVE_EIGHTHS}
    queue(MailKind.RESET_PASSWORD)
    assert send_mails() == {"sent": 1}


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_one_account_cannot_use_up_the_hour(database, transport, monkeypatch):
    """A user changes the password again and again. The notices wait, and none is lost."""
    monkeypatch.setenv("MAIL_PER_HOUR", "1000")
    start_fresh_environment()
    attacker, other = UUID(sign_up().id), UUID(sign_up("other@example.com").id)
    for _ in range(MAX_ESSENTIAL + 5):
        queue(MailKind.PASSWORD_CHANGED, user_id=attacker)
    queue(MailKind.PASSWORD_CHANGED, user_id=other, recipient="other@example.com")
    assert send_mails() == {"sent": MAX_ESSENTIAL + 1}
    assert send_mails() == {}
    with clock_off_by(HOUR + 1):
        assert send_mails() == {"sent": 5}


@pytest.mark.aurora_dsql
@pytest.mark.threat("function-mail-flood")
def test_attacker_with_verified_accounts_leaves_room_for_resets_and_notices(database, transport):
    """The attacker changes the passwords of few accounts again and again."""
    attackers = [UUID(sign_up(f"attacker{number}@example.com").id) for number in range(2)]
    victim = UUID(sign_up("victim@example.com").id)
    for number in range(LIMIT):
        queue(MailKind.PASSWORD_CHANGED, user_id=attackers[number % 2], recipient="attacker@example.com")
    assert send_mails() == {"sent": THREE_QUARTERS}
    for _ in range(FEW_ESSENTIAL):
        queue(MailKind.PASSWORD_CHANGED, user_id=victim, recipient="victim@example.com")
    queue(MailKind.RESET_PASSWORD, user_id=victim, recipient="victim@example.com")
    assert send_mails() == {"sent": FEW_ESSENTIAL + 1}
    # Further notices wait, and are sent when the hour has room again.
    queue(MailKind.PASSWORD_CHANGED, user_id=victim, recipient="victim@example.com")
    assert send_mails() == {}
    with clock_off_by(HOUR + 1):
        assert send_mails() == {"sent": LIMIT - THREE_QUARTERS + 1}


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
@pytest.mark.parametrize("kind", [MailKind.RESET_PASSWORD, MailKind.ADDRESS_TAKEN, MailKind.NEW_LOGIN])
def test_requests_for_a_user_do_not_hold_back_the_notices_of_the_user(database, transport, monkeypatch, kind):
    """A hijacker causes many mails to the victim, so that the notice of the hijacking arrives late."""
    monkeypatch.setenv("MAIL_PER_HOUR", "1000")
    start_fresh_environment()
    victim = UUID(sign_up().id)
    for _ in range(MAX_ESSENTIAL + 1):
        queue(kind, user_id=victim)
    queue(MailKind.EMAIL_CHANGED, user_id=victim)
    assert send_mails() == {"sent": MAX_ESSENTIAL + 2}
    queue(MailKind.EMAIL_CHANGED, user_id=victim)
    assert send_mails() == {"sent": 1}


@on_each_isolation_level
@pytest.mark.threat("function-mail-flood", "function-race")
def test_senders_at_once_exceed_the_share_by_less_than_their_number(database, isolation, transport):
    senders = 6
    flood(MailKind.VERIFY_EMAIL)
    send_at_once(*[send_mails] * senders)
    assert HALF <= len(transport.sent) < HALF + senders


@pytest.mark.sqlite
def test_mails_that_were_not_sent_use_up_no_room(database, transport):
    """Decoys for unknown addresses, and attempts that the provider has rejected."""
    for _ in range(LIMIT):
        queue(recipient=DECOY)
    assert send_mails() == {"discarded": LIMIT}

    def defer():
        raise MailDeferred("busy")

    transport.behave = defer
    flood(MailKind.VERIFY_EMAIL, LIMIT)
    assert send_mails() == {"queued": LIMIT}
    transport.behave = lambda: None
    make_due(database)
    assert send_mails() == {"sent": HALF}


@pytest.mark.sqlite
def test_mail_without_room_expires_and_is_wiped(database, transport):
    flood(MailKind.VERIFY_EMAIL, HALF + 1)
    send_mails()
    # The hour is still full: the clock of the others has moved, too.
    day = MAIL_RULES[MailKind.VERIFY_EMAIL].lifetime
    database.execute(update(mails).where(mails.c.state == "sent").values(sent_at=datetime.now(UTC) + day))
    with clock_off_by(day.total_seconds()):
        assert send_mails() == {"failed": 1}
    assert database.execute(select(mails.c.id).where(mails.c.sealed.is_not(None))) == []


@pytest.mark.sqlite
def test_mails_that_wait_too_long_for_room_are_counted_for_the_alarm(database, transport, log_lines):
    flood(MailKind.VERIFY_EMAIL, HALF + 2)
    send_mails()
    assert not any("mail_overdue" in line for line in log_lines.metrics)
    with clock_off_by(sender.OVERDUE_AFTER.total_seconds() + 1):
        send_mails()
    assert sum("mail_overdue" in line for line in log_lines.metrics) == 1
    (record,) = [each for each in log_lines.records if each["message"].startswith("mails wait")]
    assert record["paused"] is False


@pytest.mark.sqlite
def test_kind_of_a_newer_version_uses_the_open_share(database, transport):
    flood(MailKind.PASSWORD_CHANGED, 2 * HALF)
    database.execute(update(mails).values(kind="from_the_future"))
    # Each attempt fails, and frees its room.
    assert send_mails() == {"queued": 2 * HALF}
    assert transport.sent == []


def test_each_kind_that_any_client_can_cause_has_the_open_share():
    """A new kind must be decided about. The others go to verified accounts only."""
    assert {kind for kind, rules in MAIL_RULES.items() if rules.share is MailShare.OPEN} == {
        MailKind.VERIFY_EMAIL,
        MailKind.ADDRESS_TAKEN,
        MailKind.REGISTER_AGAIN,
        MailKind.CONFIRM_NEW_EMAIL,
    }


# --- Bounces ----------------------------------------------------------------------------------------------------------


def record_sent_mails(database, number, *, ago=timedelta(0)):
    now = datetime.now(UTC)
    row = {"kind": "reset_password", "state": "sent", "created_at": now, "expires_at": now + timedelta(days=1)}
    row |= {"attempts": 1, "unrecorded_attempts": 0, "sent_at": now - ago}
    database.insert(mails, [row | {"id": uuid4()} for _ in range(number)])


def bounce(number, *, ago=timedelta(0)):
    def suppress(connection):
        now = datetime.now(UTC)
        for each in range(number):
            email, ends = f"invented{each}@example.com", now + timedelta(days=1)
            suppress_address(connection, email=email, bounced_at=now - ago, expires_at=ends)

    with acting_as(MAIL_ROLE):
        transaction(suppress)


@pytest.fixture
def many_mails(monkeypatch):
    monkeypatch.setenv("MAIL_PER_HOUR", "1000")
    start_fresh_environment()


ORDINARY = timedelta(hours=2)


@pytest.mark.aurora_dsql
@pytest.mark.usefixtures("many_mails")
@pytest.mark.threat("mail-bounces")
def test_bounces_pause_mail_to_unverified_addresses_only(database, transport, log_lines):
    """An attacker registers addresses that do not exist. Users still get their resets and notices."""
    record_sent_mails(database, 100, ago=ORDINARY)
    bounce(MIN_BOUNCES)
    kinds = [MailKind.VERIFY_EMAIL, MailKind.REGISTER_AGAIN, MailKind.CONFIRM_NEW_EMAIL]
    for kind in (*kinds, MailKind.ADDRESS_TAKEN, MailKind.RESET_PASSWORD, MailKind.PASSWORD_CHANGED):
        queue(kind)
    assert send_mails() == {"sent": 3}
    assert send_mails() == {}
    assert sorted(sent_kinds(database)[-3:]) == ["address_taken", "password_changed", "reset_password"]
    (event,) = [event for event in log_lines.security_events if event["name"] == "mail_paused"]
    assert event["bounced"] == MIN_BOUNCES
    assert sum("mail_paused" in line for line in log_lines.metrics) == 1


@pytest.mark.sqlite
@pytest.mark.usefixtures("many_mails")
@pytest.mark.parametrize(
    ("bounces", "others", "paused"), [(4, 1, False), (5, 166, True), (5, 167, False), (6, 199, True), (6, 200, False)]
)
def test_pause_needs_a_sample_and_more_than_three_percent(database, transport, bounces, others, paused):
    record_sent_mails(database, others, ago=ORDINARY)
    record_sent_mails(database, 1_000, ago=WINDOW + timedelta(minutes=1))
    bounce(bounces)
    queue()
    assert send_mails() == ({} if paused else {"sent": 1})


@pytest.mark.sqlite
@pytest.mark.usefixtures("many_mails")
def test_mail_is_sent_again_when_the_rate_has_fallen(database, transport, log_lines):
    bounce(MIN_BOUNCES)
    queue()
    assert send_mails() == {}
    record_sent_mails(database, 200, ago=ORDINARY)
    assert send_mails() == {"sent": 1}
    assert log_lines.reasons("mail_resumed") == ["rate_fell"]
    # The bounces of that pause do not begin another one, when the other mails are older than a day.
    database.execute(update(mails).where(mails.c.kind == "reset_password").values(sent_at=None))
    queue()
    assert send_mails() == {"sent": 1}


@pytest.mark.sqlite
@pytest.mark.usefixtures("many_mails")
def test_pause_ends_after_a_day_without_bounces(database, transport):
    bounce(MIN_BOUNCES)
    queue()
    assert send_mails() == {}
    database.execute(update(mail_suppressions).values(bounced_at=datetime.now(UTC) - WINDOW))
    assert send_mails() == {"sent": 1}


@pytest.mark.aurora_dsql
@pytest.mark.usefixtures("many_mails")
def test_operator_ends_the_pause_and_later_bounces_begin_another(database, transport, log_lines):
    bounce(MIN_BOUNCES)
    queue()
    assert send_mails() == {}
    with acting_as("admin"):
        assert resume_mail() is True
        assert resume_mail() is False
    assert send_mails() == {"sent": 1}
    assert log_lines.reasons("mail_resumed") == ["by_operator"]
    bounce(MIN_BOUNCES, ago=timedelta(seconds=-1))
    queue()
    assert send_mails() == {}
    assert log_lines.reasons("mail_paused") == [None, None]


@on_each_isolation_level
def test_senders_at_once_record_one_pause(database, isolation, transport, log_lines):
    bounce(MIN_BOUNCES)
    queue()
    send_at_once(*[send_mails] * 6)
    assert len(database.execute(mail_pauses.select())) == 1
    assert log_lines.reasons("mail_paused") == [None]
    bounce_rate_fell(database)
    send_at_once(*[send_mails] * 6)
    assert log_lines.reasons("mail_resumed") == ["rate_fell"]
    assert len(transport.sent) == 1


def bounce_rate_fell(database):
    database.execute(update(mail_suppressions).values(bounced_at=datetime.now(UTC) - WINDOW))

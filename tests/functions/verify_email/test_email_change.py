"""PUT /users/{id}/email and its confirmation by POST /email/verify: what users of genuine clients notice."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from auth_common.accounts.email_change import undo_email_changes
from auth_common.database.tables import email_changes, mail_tokens, users
from auth_common.transactions import transaction
from tests.support.databases import start_fresh_environment
from tests.support.factories import (
    EMAIL,
    PASSWORD,
    erase,
    get_user,
    is_session_accepted,
    log_in,
    register,
    step_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    change_email,
    is_verified,
    newest_mail,
    queued_mails,
    request_email_change,
    verify_email,
)
from tests.support.passkeys import enrol
from tests.support.step_ups import request_passkey_registration

pytestmark = [pytest.mark.accounts]

NEW_EMAIL = "new@example.com"
REJECTED = (400, "invalid_or_expired_code")


@pytest.mark.aurora_dsql
def test_link_with_the_password_changes_the_address_and_tells_the_old_one(database, account, log_lines):
    response = request_email_change(account, NEW_EMAIL.upper())
    assert (response.status, response.json) == (202, {"status": "accepted"})
    assert get_user(account.id, token=account.access_token).json["email"] == EMAIL
    mail = newest_mail(database, NEW_EMAIL, "confirm_new_email")
    assert verify_email(token=mail.token, password=PASSWORD).status == 204
    user = get_user(account.id, token=account.access_token).json
    assert (user["email"], user["email_verified"]) == (NEW_EMAIL, True)
    assert log_in(EMAIL).status == 401
    assert log_in(NEW_EMAIL).status == 200
    assert [each.kind for each in queued_mails(database, EMAIL)][-1] == "email_changed"
    reasons = [(event["name"], event.get("reason")) for event in log_lines.security_events]
    assert ("user_email_change_requested", "mail_queued") in reasons
    assert ("user_email_changed", "by_mail") in reasons


@pytest.mark.sqlite
def test_code_with_an_access_token_changes_the_address(database, account):
    request_email_change(account, NEW_EMAIL)
    code = newest_mail(database, NEW_EMAIL, "confirm_new_email").code
    assert verify_email(email=NEW_EMAIL, code=code, access_token=account.access_token).status == 204
    assert is_verified(database, NEW_EMAIL)


@pytest.mark.sqlite
def test_change_keeps_sessions_and_ends_step_ups_and_links(database, account):
    request_email_change(account, "else@example.com")
    other = newest_mail(database, "else@example.com", "confirm_new_email").token
    change_email(database, account, NEW_EMAIL)
    assert outcome(verify_email(token=other, password=PASSWORD)) == REJECTED
    assert database.execute(select(mail_tokens.c.purpose)) == [("secure_account",)]
    assert request_passkey_registration(account.access_token).code == "step_up_required"
    assert is_session_accepted(account.id, account.pair)


@pytest.mark.sqlite
def test_user_changes_back_during_the_reservation(database, account):
    change_email(database, account, NEW_EMAIL)
    step_up(account.access_token, {"current_password": PASSWORD})
    change_email(database, account, EMAIL)
    assert get_user(account.id, token=account.access_token).json["email"] == EMAIL


@pytest.mark.sqlite
def test_old_address_is_free_after_72_hours(database, account):
    change_email(database, account, NEW_EMAIL)
    ((changed_at, reserved_until),) = database.execute(
        select(email_changes.c.changed_at, email_changes.c.reserved_until)
    )
    assert reserved_until - changed_at == timedelta(hours=72)
    assert register().status == 409
    database.execute(update(email_changes).values(reserved_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert register().status == 201


@pytest.mark.sqlite
def test_link_expires_after_a_day_and_code_after_ten_minutes(database, account):
    request_email_change(account, NEW_EMAIL)
    mail = newest_mail(database, NEW_EMAIL, "confirm_new_email")
    is_change = mail_tokens.c.purpose == "change_email"
    ((expires_at, code_expires_at),) = database.execute(
        select(mail_tokens.c.expires_at, mail_tokens.c.code_expires_at).where(is_change)
    )
    assert timedelta(hours=23) < expires_at - datetime.now(UTC) <= timedelta(hours=24)
    assert timedelta(minutes=9) < code_expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(mail_tokens).values(code_expires_at=past))
    assert outcome(verify_email(email=NEW_EMAIL, code=mail.code, password=PASSWORD)) == REJECTED
    database.execute(update(mail_tokens).values(expires_at=past))
    assert outcome(verify_email(token=mail.token, password=PASSWORD)) == REJECTED


@pytest.mark.sqlite
def test_account_with_a_passkey_needs_a_step_up_with_the_passkey(database, account):
    holder = enrol(account)
    token = account.access_token
    step_up(token, {"current_password": PASSWORD})
    response = request_email_change(account, NEW_EMAIL)
    assert (response.status, response.code, response.json["methods"]) == (403, "step_up_required", ["webauthn"])
    assert holder.step_up(token).status == 200
    assert request_email_change(account, NEW_EMAIL).status == 202


@pytest.mark.sqlite
def test_without_mail_the_route_returns_503(account, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert outcome(request_email_change(account, NEW_EMAIL)) == (503, "mail_not_configured")


@pytest.mark.sqlite
@pytest.mark.parametrize("new_email", ["", "new", "new@invalid", "nëw@example.com", f"{'a' * 65}@example.com"])
def test_text_that_is_no_address_is_rejected(account, new_email):
    response = request_email_change(account, new_email)
    assert (response.status, response.fields) == (422, {"new_email"})


@pytest.mark.sqlite
@pytest.mark.asvs("14.2.4")
def test_erasure_deletes_old_and_new_addresses(database, account):
    change_email(database, account, NEW_EMAIL)
    step_up(account.access_token, {"current_password": PASSWORD})
    request_email_change(account, "else@example.com")
    erase(NEW_EMAIL)
    assert (database.count(email_changes), database.count(mail_tokens)) == (0, 0)
    assert register().status == 201


# --- Undoing ----------------------------------------------------------------------------------------------------------


def undo(account, since):
    now = datetime.now(UTC)
    return transaction(
        lambda connection: undo_email_changes(connection, user_id=UUID(account.id), since=since, now=now)
    )


@pytest.fixture
def changed(database, account):
    """The times of three changes of the account's address: to first@, second@ and third@example.com."""
    for name in ("first", "second", "third"):
        step_up(account.access_token, {"current_password": PASSWORD})
        change_email(database, account, f"{name}@example.com")
    return [row.changed_at for row in database.execute(email_changes.select().order_by(email_changes.c.changed_at))]


@pytest.mark.aurora_dsql
def test_undo_restores_the_address_before_the_earliest_change(database, account, changed, log_lines):
    assert undo(account, changed[0]) == EMAIL
    assert is_verified(database, EMAIL)
    assert log_in(EMAIL).status == 200
    assert database.count(email_changes) == 0
    undone = ("user_email_changed", "undone")
    assert undone in [(event["name"], event.get("reason")) for event in log_lines.security_events]
    # The addresses of the undone changes are free, and the undo cannot be undone.
    assert register(email="third@example.com").status == 201
    assert undo(account, changed[0]) is None


@pytest.mark.sqlite
def test_undo_of_a_later_change_keeps_the_earlier_ones(database, account, changed):
    assert undo(account, changed[1]) == "first@example.com"
    assert undo(account, changed[0]) == EMAIL


@pytest.mark.sqlite
def test_undo_after_the_reservation_of_the_earliest_change_restores_a_later_one(database, account, changed):
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(email_changes).where(email_changes.c.changed_at == changed[0]).values(reserved_until=past))
    assert undo(account, changed[0]) == "first@example.com"


@pytest.mark.sqlite
def test_undo_without_a_change_restores_nothing(database, account):
    before = datetime.now(UTC)
    assert undo(account, before) is None
    change_email(database, account, NEW_EMAIL)
    assert undo(account, datetime.now(UTC)) is None
    erase(NEW_EMAIL)
    assert undo(account, before) is None
    assert database.count(users) == 0

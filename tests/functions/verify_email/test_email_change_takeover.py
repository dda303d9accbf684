"""Attacks of a hijacker who has the password and a session of an account: on the change of its address and the undo."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from auth_common.accounts.email_change import change_email_by_operator, undo_email_changes
from auth_common.database.tables import email_changes, mail_tokens, passkeys, users
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose, hash_mail_token
from auth_common.throttling.limits import MAILS_PER_DAY
from auth_common.transactions import transaction
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    Account,
    change_password,
    log_in,
    register,
    sign_up,
    step_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    change_email,
    complete_reset,
    end_mail_pause,
    newest_mail,
    queued_mails,
    request_email_change,
    request_reset,
    verify_email,
)
from tests.support.passkeys import begin_and_answer_registration, call_webauthn, complete_registration, enrol

pytestmark = [pytest.mark.accounts]

#: The address of the hijacker.
HIJACKERS = "hijacker@example.com"
REJECTED = (400, "invalid_or_expired_code")


@pytest.mark.threat("function-second-factor-bypass")
@pytest.mark.aurora_dsql
def test_change_asked_for_before_the_first_passkey_is_not_confirmed_after_it(database, account):
    """The step-up of the request used the password alone, which is not enough for an account with a passkey."""
    request_email_change(account, HIJACKERS)
    mail = newest_mail(database, HIJACKERS, "confirm_new_email")
    enrol(account)
    assert outcome(verify_email(token=mail.token, password=PASSWORD)) == REJECTED
    assert outcome(verify_email(email=HIJACKERS, code=mail.code, password=PASSWORD)) == REJECTED
    assert database.execute(select(users.c.email)) == [(EMAIL,)]


@pytest.mark.sqlite
@pytest.mark.threat("function-second-factor-bypass")
def test_change_asked_for_with_a_passkey_is_not_confirmed_after_its_removal(database, account):
    """The user removes the passkey that was stolen."""
    holder = enrol(account)
    holder.step_up(account.access_token)
    request_email_change(account, HIJACKERS)
    token = newest_mail(database, HIJACKERS, "confirm_new_email").token
    ((passkey_id,),) = database.execute(select(passkeys.c.id))
    holder.step_up(account.access_token)
    assert call_webauthn(account.access_token, "DELETE", f"/webauthn/credentials/{passkey_id}").status == 204
    assert outcome(verify_email(token=token, password=PASSWORD)) == REJECTED


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_hijacker_cannot_use_up_the_resets_of_the_address_before_the_undo(database, account):
    change_email(database, account, HIJACKERS)
    for number in range(MAILS_PER_DAY):
        request_reset(sourceIp=f"192.0.2.{number}")
        end_mail_pause(database, "reset")
    assert [mail.kind for mail in queued_mails(database, EMAIL)][-1] == "email_changed"
    undo(account, since=datetime.now(UTC) - timedelta(minutes=5))
    request_reset(sourceIp="198.51.100.1")
    assert [mail.kind for mail in queued_mails(database, EMAIL)][-1] == "reset_password"


@pytest.mark.threat("function-reset-takeover")
@pytest.mark.aurora_dsql
def test_hijacker_cannot_undo_the_change_back_to_the_users_address(database, account):
    """The user, who still has a session, changes the address back instead of using the link in the notice."""
    change_email(database, account, HIJACKERS)
    step_up(account.access_token, {"current_password": PASSWORD})
    # Another notice to the hijacker's address.
    holder = enrol(account)
    holder.step_up(account.access_token)
    change_email(database, account, EMAIL)
    assert [mail.kind for mail in queued_mails(database, HIJACKERS)] == ["confirm_new_email", "passkey_added"]
    links = [link_hash(mail) for mail in queued_mails(database) if mail.undo_token]
    remaining = {row.token_hash for row in database.execute(select(mail_tokens.c.token_hash))}
    # The link in the notice of the first change, which the user has.
    assert [link in remaining for link in links] == [True, False]
    assert undo(account, since=datetime.now(UTC) - timedelta(minutes=5)) is None
    assert database.execute(select(users.c.email)) == [(EMAIL,)]
    assert register(email=HIJACKERS).status == 201


@pytest.mark.sqlite
def test_undo_leaves_out_an_address_that_another_account_has(database, account):
    """The clock of the environment that registered it was ahead, so the reservation had ended there."""
    change_email(database, account, HIJACKERS)
    other = sign_up("other@example.com")
    database.execute(update(users).where(users.c.id == UUID(other.id)).values(email=EMAIL))
    assert undo(account, since=datetime.now(UTC) - timedelta(minutes=5)) is None
    assert database.count(email_changes) == 1


@pytest.mark.sqlite
@pytest.mark.threat("function-reset-takeover")
def test_operators_change_back_cannot_be_undone(database, account):
    change_email(database, account, HIJACKERS)
    change_email_by_operator(HIJACKERS, EMAIL)
    assert [mail.kind for mail in queued_mails(database, HIJACKERS)] == ["confirm_new_email"]
    assert undo(account, since=datetime.now(UTC) - timedelta(minutes=5)) is None


@pytest.mark.sqlite
@pytest.mark.threat("function-reset-takeover")
def test_operator_takes_a_hijacked_account_from_the_attackers_address_for_good(database, account):
    """The 72 hours of the user's own link are over. The attacker has links in notices at two addresses."""
    change_email(database, account, HIJACKERS)
    step_up(account.access_token, {"current_password": PASSWORD})
    change_email(database, account, "second@example.com")
    change_email_by_operator("second@example.com", "users.new@example.com", was_hijacked=True)
    assert newest_mail(database, "users.new@example.com", "verify_email").token
    assert [mail.kind for mail in queued_mails(database, "second@example.com")] == ["confirm_new_email"]
    assert [row.purpose for row in database.execute(select(mail_tokens.c.purpose))] == ["verify_email"]
    assert undo(account, since=datetime.now(UTC) - timedelta(minutes=5)) is None
    assert register(email=HIJACKERS).status == 201


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_hijacker_cannot_add_links_without_limit(database, account, monkeypatch):
    """Aurora DSQL deletes at most 3,000 rows at once. A reset and the link "this was not me" must still work."""
    monkeypatch.setattr("auth_common.throttling.limits.CREDENTIAL_CHANGES_PER_DAY", 2)
    assert change_password(account).status == 204
    pair = log_in(password=NEW_PASSWORD).json
    hijacker = Account(account.id, EMAIL, pair["access_token"], pair["refresh_token"])
    enrol(hijacker).step_up(hijacker.access_token)
    third = complete_registration(hijacker.access_token, *begin_and_answer_registration(hijacker.access_token))
    assert outcome(third) == (429, "too_many_attempts")
    again = change_password(hijacker, current=NEW_PASSWORD, new=PASSWORD)
    assert outcome(again) == (429, "too_many_attempts")
    request_reset()
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token, "a wholly new passphrase").status == 204


def link_hash(mail):
    return hash_mail_token(mail.undo_token, MailTokenPurpose.SECURE_ACCOUNT)


def undo(account, *, since):
    now = datetime.now(UTC)
    return transaction(
        lambda connection: undo_email_changes(connection, user_id=UUID(account.id), since=since, now=now)
    )

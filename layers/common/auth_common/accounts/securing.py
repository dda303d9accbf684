"""Secure an account: a user says by the link in a notice that the event was not their own ("this was not me").

The link works without a login, because an attacker may have the password and all sessions. It gives nothing, and takes
away what an attacker may have: sessions, passkeys added since the event, the password, changes of the address.

The link must do its work whatever the attacker does meanwhile. So it survives changes of the password, of the address
and of the token version. A link undoes changes since its own event. An attacker who has changed the address gets
notices of later events, and cannot use their links against the user's link. A link ends when its mailbox resets the
password.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.accounts.email_change import undo_email_changes
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail.store import delete_queued_mails
from auth_common.mail_tokens.proofs import Proof, RejectedProof, prove_by_token, rejected_as
from auth_common.mail_tokens.sending import PURPOSES_OF_MAILS
from auth_common.mail_tokens.store import delete_mail_tokens_of, is_mail_token_stored, use_security_links
from auth_common.mail_tokens.tokens_and_codes import REQUESTED_PURPOSES, MailTokenPurpose
from auth_common.notices.account_notices import queue_notice
from auth_common.passkeys.store import delete_passkeys
from auth_common.passwords.hashing import unusable_hash
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.service import mail_token_attempt
from auth_common.transactions import transaction
from auth_common.users.store import lock_user, replace_password_hash, select_user

#: How much earlier than its event a link begins, because the clocks of two environments differ.
_CLOCK_LEEWAY: Final = timedelta(minutes=1)


def secure_account(*, token: str) -> None:
    """Take away from an account what an attacker may have. A second use of the link changes nothing.

    All sessions are revoked, passkeys added since the event are deleted, changes of the address since then are undone,
    and the password no longer works until its user sets a new one by "forgot password". Older passkeys still work. A
    disabled account stays disabled.

    Args:
        token: of the link in a notice, as the client sent it.

    Raises:
        MailNotConfigured: the service sends no mail, so no user could set a new password.
        InvalidOrExpiredCode: the token is not valid.
        TooManyAttempts: the client IP has sent too many tokens that are not valid.

    """
    require_mail()
    with mail_token_attempt() as attempt, rejected_as(SecurityEvent.USER_SECURE_FAIL):
        link = prove_by_token(token, MailTokenPurpose.SECURE_ACCOUNT)
        transaction(lambda connection: _secure(connection, link, attempt))


def _secure(connection: Connection, link: Proof, attempt: Attempt) -> None:
    user_id, now = link.user.id, datetime.now(UTC)
    user = lock_user(connection, user_id=user_id)
    if user is None or not is_mail_token_stored(connection, mail_token_id=link.mail_token.id):
        # A password reset or the erasure of the account was faster.
        raise RejectedProof("mail_token_used", user_id=user_id)
    attempt.succeed(connection)
    if not use_security_links(connection, link.mail_token, now=now):
        return
    # Each path then behaves as after a wrong password, and needs no new state. The new token version revokes all
    # sessions and ends every login that is under way.
    replace_password_hash(connection, user_id=user_id, new=unusable_hash())
    event_at = link.mail_token.event_at or now
    since = event_at - _CLOCK_LEEWAY
    removed = delete_passkeys(connection, user_id=user_id, since=since)
    undo_email_changes(connection, user_id=user_id, since=since, now=now)
    delete_mail_tokens_of(connection, user_id=user_id, purposes=REQUESTED_PURPOSES)
    # The mails whose links have ended. Notices are sent in any case.
    delete_queued_mails(connection, user_id=user_id, kinds=PURPOSES_OF_MAILS)
    # Read again, because the notice goes to the restored address.
    queue_notice(connection, MailKind.ACCOUNT_SECURED, user=select_user(connection, user_id=user_id) or user)
    security_event(
        SecurityEvent.USER_SECURED,
        user_id=user_id,
        since=event_at.isoformat(timespec="seconds"),
        passkeys_removed=removed,
    )
    security_event(SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=user_id, reason="account_secured")

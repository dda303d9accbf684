"""Reset a forgotten password by a link that is sent to the verified address of the account.

The holder of the mailbox gets no more than a new password. A reset opens no session, and passkeys stay, so an account
with a passkey still needs one at the login (NIST SP 800-63B-4 section 4.2.2.2). An account whose address is not
verified may be an attacker's. Its link does not reset the password, but lets the user of the mailbox register again.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection

from auth_common.errors import NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.keyed_hashes import account_pseudonym
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail_tokens.proofs import Proof, prove_by_token, rejected_as, use_proof
from auth_common.mail_tokens.sending import queue_mail_with_token
from auth_common.mail_tokens.store import delete_mail_tokens_after_reset
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose, hash_address
from auth_common.notices.account_notices import queue_notice
from auth_common.passwords.hashing import hash_password
from auth_common.passwords.policy import require_good_password
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.known_clients import client_ip_hash
from auth_common.throttling.mail_requests import mail_request
from auth_common.throttling.service import mail_token_attempt, reset_failures_after_password_reset
from auth_common.transactions import transaction
from auth_common.users.store import User, reset_password, select_user_by_email


def request_password_reset(*, email: str) -> None:
    """Send a link to the user of an address, if it has an account. Any client may ask for it, and learns nothing.

    A request ends no earlier link. Otherwise an attacker could end the user's link again and again.

    Args:
        email: normalised (``normalise_email``).

    Raises:
        MailNotConfigured: the service sends no mail.
        TooManyAttempts: the client IP has requested too many mails.

    """
    require_mail()
    with mail_request("reset", email=email) as may_send:
        if may_send:
            transaction(lambda connection: _queue(connection, email))


def start_password_reset(email: str) -> tuple[User, MailKind]:
    """Send a link to a user for an operator, who does not learn it (ASVS 5.0 6.4.6). Return the user and the mail.

    The limits of mails do not apply. An unverified account gets the link to register again.

    Args:
        email: normalised (``normalise_email``).

    Raises:
        MailNotConfigured: the service sends no mail.
        NotFound: no account has this address.
        ValueError: the account is disabled. Its user could not log in with a new password.

    """
    require_mail()

    def start(connection: Connection) -> tuple[User, MailKind]:
        user = select_user_by_email(connection, email=email)
        if user is None:
            raise NotFound
        if user.status == "disabled":
            message = "has a disabled account; enable it first"
            raise ValueError(message)
        kind = _kind(user)
        queue_mail_with_token(connection, kind, email=email, user=user)
        security_event(SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED, user_id=user.id, reason="by_operator")
        return user, kind

    return transaction(start)


def complete_password_reset(*, token: str, new_password: str) -> None:
    """Set a new password by the token of a link, revoke all sessions, and end all other links of the account.

    Args:
        token: as the client sent it.
        new_password: as the user typed it.

    Raises:
        MailNotConfigured: the service sends no mail.
        InvalidOrExpiredCode: the token is not valid.
        ValidationFailed: the new password is too weak. The token stays valid.
        TooManyAttempts: the client IP has sent too many tokens that are not valid.

    """
    require_mail()
    with mail_token_attempt() as attempt, rejected_as(SecurityEvent.AUTHN_PASSWORD_RESET_FAIL):
        # First, because the check of the password uses the user's name and address, and its result reveals them.
        proof = prove_by_token(token, MailTokenPurpose.RESET_PASSWORD)
        require_good_password(new_password, proof.user, field="new_password")
        new_hash = hash_password(new_password)
        transaction(lambda connection: _reset(connection, proof, attempt, new_hash))


def _queue(connection: Connection, email: str) -> None:
    user = select_user_by_email(connection, email=email)
    is_active = user is not None and user.status != "disabled"
    kind = _kind(user)
    queue_mail_with_token(connection, kind, email=email, user=user if is_active else None)
    if user is None:
        reason = "unknown_user"
    elif not is_active:
        reason = "user_not_active"
    else:
        reason = "mail_queued" if kind is MailKind.RESET_PASSWORD else "address_not_verified"
    security_event(
        SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED,
        user_id=user.id if user else None,
        reason=reason,
        account=None if user else account_pseudonym(email),
    )


def _kind(user: User | None) -> MailKind:
    """Return which mail a user gets who has forgotten the password."""
    is_unverified = user is not None and not user.email_verified
    return MailKind.REGISTER_AGAIN if is_unverified else MailKind.RESET_PASSWORD


def _reset(connection: Connection, proof: Proof, attempt: Attempt, new_hash: str) -> None:
    user = use_proof(connection, proof)
    attempt.succeed(connection)
    # The new token version revokes all sessions and every login that is under way. So no number of sessions can exceed
    # the rows that a transaction may change.
    reset_password(connection, user_id=user.id, new=new_hash, known_ip=client_ip_hash(), now=datetime.now(UTC))
    delete_mail_tokens_after_reset(connection, user_id=user.id, address_hash=hash_address(user.email))
    reset_failures_after_password_reset(connection, email=user.email)
    queue_notice(connection, MailKind.PASSWORD_RESET, user=user)
    security_event(SecurityEvent.AUTHN_PASSWORD_RESET, user_id=user.id)
    security_event(SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=user.id, reason="password_reset")

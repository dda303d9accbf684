"""Verify an address: its user proves by a link or a code that the mailbox is theirs, and that the account is too.

The address is that of the account, or the one to which the account changes (``accounts.email_change``).

A link alone verifies nothing. An attacker may have registered an account with the address of a victim, who opens the
link of the attacker's mail. So the request also needs the account's password or a session of the account. A victim has
neither (CWE-1390, "account pre-hijacking").
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from auth_common.accounts.email_change import confirm_email_change, end_step_ups
from auth_common.errors import FieldError, InvalidCurrentPassword, ValidationFailed
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.keyed_hashes import account_pseudonym
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail_tokens.proofs import Proof, RejectedProof, prove_by_code, prove_by_token, rejected_as, use_proof
from auth_common.mail_tokens.sending import queue_mail_with_token
from auth_common.mail_tokens.store import delete_mail_tokens_of
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose
from auth_common.passwords.hashing import verify_password
from auth_common.sessions.caller_checks import require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.known_clients import find_known_clients
from auth_common.throttling.mail_requests import mail_request
from auth_common.throttling.service import login_attempt, mail_token_attempt
from auth_common.transactions import read, transaction
from auth_common.users.store import User, mark_verified, select_user_by_email

#: What the tokens and codes of POST /email/verify were sent for.
_PURPOSES: Final = (MailTokenPurpose.VERIFY_EMAIL, MailTokenPurpose.CHANGE_EMAIL)


def request_verification_mail(*, email: str) -> None:
    """Send another verification mail to an unverified account. Any client may ask for it, and learns nothing.

    A verified, a disabled and a missing account cause the same work and rows, and nothing is sent.

    Args:
        email: normalised (``normalise_email``).

    Raises:
        MailNotConfigured: the service sends no mail.
        TooManyAttempts: the client IP has requested too many mails.

    """
    require_mail()
    with mail_request("verification", email=email) as may_send:
        if may_send:
            transaction(lambda connection: _queue(connection, email))


def _queue(connection: Connection, email: str) -> None:
    user = select_user_by_email(connection, email=email)
    reason = _unfit_for_verification(user)
    queue_mail_with_token(connection, MailKind.VERIFY_EMAIL, email=email, user=None if reason else user)
    security_event(
        SecurityEvent.USER_EMAIL_VERIFICATION_REQUESTED,
        user_id=user.id if user else None,
        reason=reason or "mail_queued",
        account=None if user else account_pseudonym(email),
    )


def _unfit_for_verification(user: User | None) -> str | None:
    if user is None:
        return "unknown_user"
    if user.status == "disabled":
        return "user_not_active"
    return "already_verified" if user.email_verified else None


def verify_by_token(*, token: str, account_proof: str | Principal | None) -> None:
    """Verify the address of an account, or the address to which the account changes, by the token of a link.

    Args:
        token: as the client sent it.
        account_proof: the account's password, as the user typed it, or the caller of an access token. None: the request
            has neither.

    Raises:
        MailNotConfigured: the service sends no mail.
        ValidationFailed: there is neither a password nor an access token.
        InvalidOrExpiredCode: the token is not valid, the caller has another account, or another account has the new
            address by now.
        InvalidCurrentPassword: the token is valid, and the password is wrong. The token stays valid.
        InvalidToken: the caller's session is not valid.
        TooManyAttempts: the client IP or the account's password is locked.

    """
    require_mail()
    account_proof = _require_account_proof(account_proof)
    with mail_token_attempt() as attempt, rejected_as(SecurityEvent.USER_EMAIL_VERIFY_FAIL):
        proof = prove_by_token(token, *_PURPOSES)
        _verify(proof, attempt, account_proof)


def verify_by_code(*, email: str, code: str, account_proof: str | Principal | None) -> None:
    """Verify the address of an account by a code. ``email`` is normalised, and the rest as for ``verify_by_token``.

    Raises:
        TooManyAttempts: as for ``verify_by_token``, or too many wrong codes were sent for the address.

    """
    require_mail()
    account_proof = _require_account_proof(account_proof)
    with mail_token_attempt(code_for=email) as attempt, rejected_as(SecurityEvent.USER_EMAIL_VERIFY_FAIL):
        proof = prove_by_code(code, *_PURPOSES, email=email)
        _verify(proof, attempt, account_proof)


def _require_account_proof(account_proof: str | Principal | None) -> str | Principal:
    if account_proof is None:
        raise ValidationFailed(FieldError("password", "is required in a request without an access token"))
    return account_proof


def _verify(proof: Proof, attempt: Attempt, account_proof: str | Principal) -> None:
    """Verify the address if the request also proves that the account is the user's."""
    if isinstance(account_proof, Principal):
        _verify_by_session(proof, attempt, account_proof)
    else:
        _verify_by_password(proof, attempt, account_proof)


def _verify_by_session(proof: Proof, attempt: Attempt, principal: Principal) -> None:
    def require_same_account(connection: Connection) -> None:
        require_valid_session(connection, principal)
        if principal.user_id != proof.user.id:
            raise RejectedProof("other_account", user_id=principal.user_id)

    def verify(connection: Connection) -> None:
        require_same_account(connection)
        _settle(connection, proof, attempt)

    read(require_same_account)
    _prepare(proof)
    transaction(verify)


def _verify_by_password(proof: Proof, attempt: Attempt, password: str) -> None:
    # Counted as a login, because it reveals whether the password is right. The mailbox's user may be an attacker.
    # Failures from before the registration are still counted for an account that must be verified first.
    known = read(lambda connection: find_known_clients(connection, proof.user.email))
    with login_attempt(proof.user.email, known, is_known=proof.user.status == "unverified") as login:
        if not verify_password(password, proof.credentials.password_hash):
            security_event(SecurityEvent.USER_EMAIL_VERIFY_FAIL, user_id=proof.user.id, reason="wrong_password")
            raise InvalidCurrentPassword

        def verify(connection: Connection) -> None:
            _settle(connection, proof, attempt, login)

        _prepare(proof)
        transaction(verify)


def _prepare(proof: Proof) -> None:
    if proof.mail_token.new_email is not None:
        end_step_ups(proof.user.id)


def _settle(connection: Connection, proof: Proof, *attempts: Attempt) -> None:
    user = use_proof(connection, proof)
    for attempt in attempts:
        attempt.succeed(connection)
    if (new_email := proof.mail_token.new_email) is not None:
        confirm_email_change(connection, user, new_email=new_email)
        return
    mark_verified(connection, user_id=user.id, now=datetime.now(UTC))
    # Further links to verify the address, or to replace the account because it was unverified.
    ended = (MailTokenPurpose.VERIFY_EMAIL, MailTokenPurpose.CLAIM_ADDRESS)
    delete_mail_tokens_of(connection, user_id=user.id, purposes=ended)
    security_event(SecurityEvent.USER_EMAIL_VERIFIED, user_id=user.id, reason="by_mail")

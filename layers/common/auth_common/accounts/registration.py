"""Register an account for a new user."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from auth_common.accounts.erasure import delete_account, delete_many_rows_of
from auth_common.audit_log.salt_store import store_first_salt
from auth_common.errors import EmailTaken
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail_tokens.proofs import Proof, RejectedProof, prove_by_token, rejected_as, use_proof
from auth_common.mail_tokens.sending import queue_mail_with_token
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose
from auth_common.passwords.hashing import hash_password
from auth_common.passwords.policy import require_good_password
from auth_common.settings import settings
from auth_common.throttling.known_clients import client_ip_hash
from auth_common.throttling.mail_requests import registration_mail, registration_mail_to_new_account
from auth_common.throttling.service import (
    mail_token_attempt,
    registration_attempt,
    reset_failures_of_new_account,
    spend_statements,
)
from auth_common.transactions import transaction
from auth_common.users.store import TakenAddress, User, insert_user

#: Every new account has this role. The schema rejects a request with role or status.
_NEW_ROLE: Final = "user"
#: How long an account stays whose user neither logs in nor verifies the address.
_UNUSED_LIFETIME: Final = timedelta(days=30)


def new_user(*, name: str, email: str, date_of_birth: date, job_title: str, locale: str | None) -> User:
    """Return a user who is not stored yet.

    Args:
        name: the user's name, 1 to 100 characters.
        email: normalised (``normalise_email``).
        date_of_birth: a date in the past.
        job_title: 1 to 100 characters.
        locale: the language of mails, such as ``de``.

    """
    now = datetime.now(UTC)
    return User(
        id=uuid4(),
        email=email,
        name=name,
        date_of_birth=date_of_birth,
        job_title=job_title,
        role=_NEW_ROLE,
        status="unverified" if settings().email_verification == "required" else "active",
        token_version=0,
        created_at=now,
        locale=locale,
        # Without mail, no user could verify the address in time.
        unused_until=now + _UNUSED_LIFETIME if settings().sends_mail() else None,
    )


def register_user(user: User, *, password: str) -> User | None:
    """Create an account, send a verification mail, and return the user.

    Return None if the settings hide whether the address was free (``Settings.hides_taken_addresses``). The user of a
    taken address then gets a mail.

    Args:
        user: from ``new_user``.
        password: as the user typed it.

    Raises:
        ValidationFailed: the password is too weak (NIST SP 800-63B-4).
        EmailTaken: the address has an account, and the settings do not hide that. The password is hashed first, so that
            the response time does not reveal the account.
        TooManyAttempts: too many registrations from one client IP.

    """
    # Scoring a password costs as much as hashing it. During a lockout, neither is done.
    with registration_attempt():
        require_good_password(password, user, field="password")
        _store(user, password_hash=hash_password(password))
    return None if settings().hides_taken_addresses() else user


def register_again(user: User, *, password: str, address_token: str) -> User:
    """Create a verified account, which replaces an unverified account with the same address. Return the user.

    The holder of the token has proved that the address is theirs. The user who registered it before has not, and may be
    an attacker. So nothing of that account stays: no password, passkey or session. The new account has a new id,
    because other services know the old one by its ``sub``.

    Args:
        user: from ``new_user``.
        password: as the user typed it.
        address_token: from the link of a mail, as the client sent it.

    Raises:
        MailNotConfigured: the service sends no mail.
        InvalidOrExpiredCode: the token is not valid for this address, or the account is verified by now.
        ValidationFailed: the password is too weak. The token stays valid.
        TooManyAttempts: too many registrations, or too many tokens that are not valid, from one client IP.

    """
    require_mail()
    user = replace(user, status="active", email_verified_at=user.created_at, unused_until=None)
    with (
        registration_attempt(),
        mail_token_attempt() as attempt,
        rejected_as(SecurityEvent.USER_EMAIL_VERIFY_FAIL),
    ):
        proof = prove_by_token(address_token, MailTokenPurpose.CLAIM_ADDRESS)
        _require_same_address(proof, user)
        require_good_password(password, user, field="password")
        password_hash = hash_password(password)
        # In transactions of its own, because the account may have more rows than one can delete. If the last one fails,
        # the account has lost its sessions and mails. Only the user of the mailbox can cause that, and replaces the
        # account by the next request.
        delete_many_rows_of(proof.user.id)

        def replace_account(connection: Connection) -> None:
            unverified = use_proof(connection, proof)
            attempt.succeed(connection)
            delete_account(connection, unverified, reason="address_claimed")
            if _insert(connection, user, password_hash=password_hash) is not None:
                raise EmailTaken
            reset_failures_of_new_account(connection, email=user.email)
            security_event(SecurityEvent.USER_EMAIL_VERIFIED, user_id=user.id, reason="by_registration")

        transaction(replace_account)
    return user


def _require_same_address(proof: Proof, user: User) -> None:
    if proof.user.email != user.email:
        raise RejectedProof("other_address", user_id=proof.user.id)


def _store(user: User, *, password_hash: str) -> None:
    """Store the account and send its mail. If the address is taken, tell its user, or raise ``EmailTaken``."""
    with _counted_mail(user.email) as may_send:
        transaction(lambda connection: _create_or_tell_owner(connection, user, password_hash, may_send=may_send))


def _counted_mail(email: str) -> AbstractContextManager[bool]:
    if not settings().sends_mail():
        return nullcontext(enter_result=False)
    if not settings().hides_taken_addresses():
        return registration_mail_to_new_account()
    return registration_mail(email=email)


def _create_or_tell_owner(connection: Connection, user: User, password_hash: str, *, may_send: bool) -> None:
    """Store the account. If the address is taken, and the settings hide that, tell its user.

    Both cause the same number of statements and round trips.
    """
    taken = _insert(connection, user, password_hash=password_hash)
    if taken is not None:
        if not settings().hides_taken_addresses():
            raise EmailTaken
        _tell_owner(connection, taken.holder, user, may_send=may_send)
        return
    if _resets_failures():
        reset_failures_of_new_account(connection, email=user.email)
    # A mail that may not be sent costs the same.
    queue_mail_with_token(connection, MailKind.VERIFY_EMAIL, email=user.email, user=user if may_send else None)


def _insert(connection: Connection, user: User, *, password_hash: str) -> TakenAddress | None:
    """Store and record a new user, or return what has the address."""
    taken = insert_user(connection, user, password_hash=password_hash, registered_from=client_ip_hash())
    if taken is None:
        store_first_salt(connection, user_id=user.id)
        security_event(SecurityEvent.USER_CREATED, user_id=user.id)
    else:
        holder_id = taken.holder.id if taken.holder else None
        security_event(SecurityEvent.USER_CREATION_FAIL, reason="email_taken", user_id=holder_id)
    return taken


def _resets_failures() -> bool:
    """Return whether a registration deletes what was counted for its address before.

    If the address must be verified before the first login, the verification deletes the failed logins. Otherwise an
    attacker could lock an address, register it, and learn by the end of the lockout that it was free.
    """
    return settings().email_verification == "optional"


def _tell_owner(connection: Connection, holder: User | None, rejected: User, *, may_send: bool) -> None:
    """Send a mail to the user of an address that another client tried to register.

    If the address is not verified, the recipient may be another user than the one who registered it. So the mail has a
    link with which the recipient can replace the account.

    Args:
        connection: the transaction, which has locked ``holder``.
        holder: the user of the address. None if it is reserved: no mail is sent.
        rejected: the user who cannot be registered.
        may_send: whether a mail may be sent.

    """
    # A new account needs them for its salt, and for the counters.
    spend_statements(connection, 2 if _resets_failures() else 1)
    is_active = holder is not None and holder.status != "disabled"
    kind = MailKind.ADDRESS_TAKEN if holder is None or holder.email_verified else MailKind.REGISTER_AGAIN
    # A mail that may not be sent costs the same.
    queue_mail_with_token(connection, kind, email=rejected.email, user=holder if is_active and may_send else None)

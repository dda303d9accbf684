"""Register an account for a new user."""

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
from auth_common.transactions import read, transaction
from auth_common.users.email_change_store import is_reserved
from auth_common.users.store import User, insert_user, lock_user, select_user_by_email

#: Every new account has this role. The schema rejects a request with role or status.
_NEW_ROLE: Final = "user"
#: How long an account stays whose user neither logs in nor verifies the address.
_UNUSED_LIFETIME: Final = timedelta(days=30)
#: Statements of a new account's transaction that a taken address does not need: one, and those that delete counters.
_FURTHER_STATEMENTS: Final = 1
_COUNTER_STATEMENTS: Final = 9


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
    is_hidden = settings().hides_taken_addresses()
    try:
        # Scoring a password costs as much as hashing it. During a lockout, neither is done.
        with registration_attempt():
            require_good_password(password, user, field="password")
            password_hash = hash_password(password)
            if is_hidden:
                _store_or_tell_owner(user, password_hash=password_hash)
            else:
                _store_and_send_mail(user, password_hash=password_hash)
    except EmailTaken:
        if not is_hidden:
            raise
    return None if is_hidden else user


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
            _insert(connection, user, password_hash=password_hash)
            reset_failures_of_new_account(connection, email=user.email)
            security_event(SecurityEvent.USER_EMAIL_VERIFIED, user_id=user.id, reason="by_registration")

        transaction(replace_account)
    return user


def _require_same_address(proof: Proof, user: User) -> None:
    if proof.user.email != user.email:
        raise RejectedProof("other_address", user_id=proof.user.id)


def _store_and_send_mail(user: User, *, password_hash: str) -> None:
    if not settings().sends_mail():
        _store(user, password_hash=password_hash, may_send=False)
        return
    with registration_mail_to_new_account() as may_send:
        _store(user, password_hash=password_hash, may_send=may_send)


def _store(user: User, *, password_hash: str, may_send: bool) -> None:
    try:
        transaction(lambda connection: _create(connection, user, password_hash=password_hash, may_send=may_send))
    except EmailTaken:
        holder = read(lambda connection: select_user_by_email(connection, email=user.email))
        if holder is not None:
            # A reserved address needs this statement in ``insert_user``.
            read(lambda connection: _is_reserved(connection, user))
        _record_taken_address(holder)
        raise


def _store_or_tell_owner(user: User, *, password_hash: str) -> None:
    """Store the account, or tell the user of the taken address. Both cause the same number of statements.

    A reserved address has no account, so its mail is not sent.
    """
    holder = read(lambda connection: select_user_by_email(connection, email=user.email))
    reserved = read(lambda connection: _is_reserved(connection, user))
    with registration_mail(email=user.email, user_id=holder.id if holder else None) as may_send:
        if holder is None and not reserved:
            _store(user, password_hash=password_hash, may_send=may_send)
        else:
            transaction(lambda connection: _tell_owner(connection, holder, user, may_send=may_send))


def _is_reserved(connection: Connection, user: User) -> bool:
    return is_reserved(connection, email=user.email, user_id=user.id, now=user.created_at)


def _create(connection: Connection, user: User, *, password_hash: str, may_send: bool) -> None:
    _insert(connection, user, password_hash=password_hash)
    if _resets_failures():
        reset_failures_of_new_account(connection, email=user.email)
    # A mail that may not be sent costs the same.
    queue_mail_with_token(connection, MailKind.VERIFY_EMAIL, email=user.email, user=user if may_send else None)


def _insert(connection: Connection, user: User, *, password_hash: str) -> None:
    insert_user(connection, user, password_hash=password_hash, registered_from=client_ip_hash())
    store_first_salt(connection, user_id=user.id)
    security_event(SecurityEvent.USER_CREATED, user_id=user.id)


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
        connection: the transaction.
        holder: the user of the address. None if it is reserved, or if the user was erased meanwhile: no mail is sent.
        rejected: the user who cannot be registered.
        may_send: whether a mail may be sent.

    """
    current = lock_user(connection, user_id=holder.id if holder else rejected.id)
    spend_statements(connection, _FURTHER_STATEMENTS + (_COUNTER_STATEMENTS if _resets_failures() else 0))
    is_active = current is not None and current.status != "disabled"
    kind = MailKind.ADDRESS_TAKEN if current is None or current.email_verified else MailKind.REGISTER_AGAIN
    # A mail that may not be sent costs the same.
    queue_mail_with_token(connection, kind, email=rejected.email, user=current if is_active and may_send else None)
    _record_taken_address(current)


def _record_taken_address(holder: User | None) -> None:
    security_event(SecurityEvent.USER_CREATION_FAIL, reason="email_taken", user_id=holder.id if holder else None)

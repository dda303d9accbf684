"""Changes of accounts by an operator: role, status, lockouts, bounces, passkeys and the revocation of sessions.

Each change except ``unlock_user``, ``mark_email_verified`` and ``clear_bounce`` raises the user's token version. A
session stores the version of its login, and every request compares the two. So the change takes effect at the next
request, even if a token has not expired or the gateway has cached an authorization. Every parameter ``email`` is a
normalised address (``normalise_email``).
"""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import NoPasskey, NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail.store import MailFacts, select_newest_mails
from auth_common.mail.suppression_store import Suppression, delete_suppression, select_suppression
from auth_common.mail_tokens.sending import queue_mail_with_token
from auth_common.mail_tokens.store import delete_mail_tokens_of
from auth_common.notices.account_notices import queue_notice
from auth_common.passkeys.store import Passkey, delete_passkeys, select_passkeys_of
from auth_common.passwords.hashing import hash_password
from auth_common.sessions.store import count_live_sessions
from auth_common.settings import settings
from auth_common.throttling.service import select_lockouts, unlock_account
from auth_common.transactions import read, transaction
from auth_common.users.store import (
    User,
    lock_user,
    mark_verified,
    select_credentials_by_email,
    select_user_by_email,
    update_account,
)

ROLES: Final = ("user", "security", "admin")
_REPORTED_MAILS: Final = 10


def change_role(email: str, role: str) -> User:
    """Set the user's role to one of ``ROLES``.

    Raises:
        ValueError: the role is not in ``ROLES``.
        NotFound: no account has this address.

    """
    if role not in ROLES:
        raise ValueError("the role must be one of: " + ", ".join(ROLES))
    return _change(email, SecurityEvent.AUTHZ_CHANGE, role=role)


def disable_user(email: str) -> User:
    """Disable an account, and tell its user. The next request of each of its sessions is rejected.

    Raises:
        NotFound: no account has this address.

    """
    return _change(email, SecurityEvent.USER_DISABLED, notice=MailKind.ACCOUNT_DISABLED, status="disabled")


def enable_user(email: str) -> User:
    """Enable a disabled account, so that its user can log in again.

    If EMAIL_VERIFICATION is ``required``, the user of an unverified account must verify the address first. The account
    may have been disabled before its first login.

    Raises:
        NotFound: no account has this address.

    """

    def enable(connection: Connection) -> User:
        found = select_user_by_email(connection, email=email)
        is_pending = found and not found.email_verified and settings().email_verification == "required"
        user = _update(connection, email, status="unverified" if is_pending else "active")
        security_event(SecurityEvent.USER_ENABLED, user_id=user.id, reason="by_operator")
        return user

    return transaction(enable)


def mark_email_verified(email: str) -> User:
    """Mark the address of an account as verified. Password, passkeys and sessions stay valid.

    Call it only if the operator knows that the user of the mailbox has registered the account. Otherwise an attacker
    may have done so, and would keep the access (``hand_over_account``).

    Raises:
        NotFound: no account has this address.

    """
    return transaction(lambda connection: _mark_verified(connection, email))


def hand_over_account(email: str) -> tuple[User, int]:
    """Mark the address of an account as verified, and end all access that was set up before.

    An attacker may have registered the address. So the password no longer works, the passkeys are deleted, the sessions
    are revoked, and the user gets the link to set a new password.

    Returns:
        The user, and how many passkeys were deleted.

    Raises:
        NotFound: no account has this address.
        MailNotConfigured: the service sends no mail, so the user could not set a password.
        ValueError: the address is verified already, so its user has set up the access. Or the account is disabled.

    """
    require_mail()
    # No input hashes to it, because it is not kept.
    unknown = hash_password(secrets.token_urlsafe(32))

    def hand_over(connection: Connection) -> tuple[User, int]:
        found = select_user_by_email(connection, email=email)
        if found and found.email_verified:
            message = "is verified already"
            raise ValueError(message)
        if found and found.status == "disabled":
            message = "has a disabled account; enable it first"
            raise ValueError(message)
        _mark_verified(connection, email)
        user = _update(connection, email, password_hash=unknown)
        removed = delete_passkeys(connection, user_id=user.id)
        delete_mail_tokens_of(connection, user_id=user.id)
        queue_mail_with_token(connection, MailKind.RESET_PASSWORD, email=email, user=user)
        security_event(SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=user.id, reason="by_operator")
        if removed:
            event = SecurityEvent.AUTHN_PASSKEY_REMOVED
            security_event(event, user_id=user.id, reason="by_operator", passkeys_removed=removed)
        return user, removed

    return transaction(hand_over)


def _mark_verified(connection: Connection, email: str) -> User:
    found = select_user_by_email(connection, email=email)
    user = lock_user(connection, user_id=found.id) if found else None
    if user is None:
        raise NotFound
    now = datetime.now(UTC)
    status = mark_verified(connection, user_id=user.id, now=now)
    security_event(SecurityEvent.USER_EMAIL_VERIFIED, user_id=user.id, reason="by_operator")
    return replace(user, email_verified_at=now, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """What an operator may know of an account to help its user. It contains no secret, link or code."""

    user: User
    #: The names of the counters that lock the account, and until when.
    lockouts: dict[str, datetime]
    suppression: Suppression | None
    passkeys: list[Passkey]
    #: Sessions that are valid.
    sessions: int
    #: The newest mails, newest first.
    mails: list[MailFacts]


def report_account(email: str) -> AccountReport:
    """Return a report of an account. A security event records that the operator has read it.

    Raises:
        NotFound: no account has this address.

    """

    def report(connection: Connection) -> AccountReport:
        user = select_user_by_email(connection, email=email)
        if user is None:
            raise NotFound
        now = datetime.now(UTC)
        security_event(SecurityEvent.SENSITIVE_READ, user_id=user.id, reason="by_operator", target="account")
        return AccountReport(
            user=user,
            lockouts=select_lockouts(connection, email=email, user_id=user.id, now=now),
            suppression=select_suppression(connection, email=email, now=now),
            passkeys=select_passkeys_of(connection, user_id=user.id),
            sessions=count_live_sessions(connection, user_id=user.id, token_version=user.token_version, now=now),
            mails=select_newest_mails(connection, user_id=user.id, limit=_REPORTED_MAILS),
        )

    return transaction(report)


def revoke_sessions_of(email: str) -> User:
    """Revoke all sessions of a user, for example after the theft of a device.

    Raises:
        NotFound: no account has this address.

    """
    return _change(email, SecurityEvent.AUTHN_TOKEN_REVOKED)


def unlock_user(email: str) -> tuple[User, int]:
    """Delete the counters of failed attempts that lock an account. The user's sessions stay valid.

    Returns:
        The user, and how many counters were deleted.

    Raises:
        NotFound: no account has this address.

    """

    def delete_counters(connection: Connection) -> tuple[User, int]:
        found = select_credentials_by_email(connection, email=email)
        if found is None:
            raise NotFound
        deleted = unlock_account(connection, email=email, user_id=found.user.id)
        security_event(SecurityEvent.USER_UPDATED, user_id=found.user.id, reason="unlocked_by_operator")
        return found.user, deleted

    return transaction(delete_counters)


def clear_bounce(email: str) -> tuple[User, bool]:
    """Send mail to a user again whose address has bounced, or who has reported a mail as spam.

    Returns:
        The user, and whether the address was suppressed.

    Raises:
        NotFound: no account has this address.

    """

    def clear(connection: Connection) -> tuple[User, bool]:
        found = select_credentials_by_email(connection, email=email)
        if found is None:
            raise NotFound
        was_suppressed = delete_suppression(connection, email=email)
        security_event(SecurityEvent.USER_UPDATED, user_id=found.user.id, reason="bounce_cleared_by_operator")
        return found.user, was_suppressed

    return transaction(clear)


def list_passkeys_of(email: str) -> tuple[User, list[Passkey]]:
    """Return the user and their passkeys, newest first. A security event records that the operator has read them.

    Raises:
        NotFound: no account has this address.

    """

    def select(connection: Connection) -> tuple[User, list[Passkey]]:
        found = select_credentials_by_email(connection, email=email)
        if found is None:
            raise NotFound
        user = found.user
        security_event(SecurityEvent.SENSITIVE_READ, user_id=user.id, reason="by_operator", target="passkeys")
        return user, select_passkeys_of(connection, user_id=user.id)

    return transaction(select)


def passkeys_added_since(user: User, since: datetime) -> list[Passkey]:
    """Return the user's passkeys that were added at ``since`` or later, newest first."""
    found = read(lambda connection: select_passkeys_of(connection, user_id=user.id))
    return [passkey for passkey in found if passkey.created_at >= since]


def remove_passkeys(email: str, *, since: datetime | None = None) -> tuple[User, int]:
    """Delete passkeys of a user, and revoke all of the user's sessions.

    Without a passkey, the user can log in with the password alone.

    Args:
        email: the normalised e-mail address of the account.
        since: delete only passkeys that were added at this time or later, for example since a theft.

    Returns:
        The user, and how many passkeys were deleted.

    Raises:
        NotFound: no account has this address.
        NoPasskey: there is no passkey to delete, and nothing was changed. The operator probably means another user.

    """

    def remove(connection: Connection) -> tuple[User, int]:
        user = _update(connection, email)
        removed = delete_passkeys(connection, user_id=user.id, since=since)
        if not removed:
            raise NoPasskey
        security_event(
            SecurityEvent.AUTHN_PASSKEY_REMOVED, user_id=user.id, reason="by_operator", passkeys_removed=removed
        )
        queue_notice(connection, MailKind.PASSKEY_REMOVED, user=user)
        return user, removed

    return transaction(remove)


def _change(email: str, event: SecurityEvent, *, notice: MailKind | None = None, **values: str) -> User:
    def change(connection: Connection) -> User:
        user = _update(connection, email, **values)
        security_event(event, user_id=user.id, reason="by_operator", role=values.get("role"))
        if notice is not None:
            queue_notice(connection, notice, user=user)
        return user

    return transaction(change)


def _update(connection: Connection, email: str, **values: str) -> User:
    user = update_account(connection, email=email, **values)
    if user is None:
        raise NotFound
    return user

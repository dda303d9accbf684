"""Changes of accounts by an operator: role, status, lockouts, bounces, passkeys and the revocation of sessions.

Each change except ``unlock_user``, ``mark_email_verified`` and ``clear_bounce`` raises the user's token version. A
session stores the version of its login, and every request compares the two. So the change takes effect at the next
request, even if a token has not expired or the gateway has cached an authorization. Every parameter ``email`` is a
normalised address (``normalise_email``).
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import NoPasskey, NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail.suppression_store import delete_suppression
from auth_common.notices.account_notices import queue_notice
from auth_common.passkeys.store import Passkey, delete_passkeys, select_passkeys_of
from auth_common.settings import settings
from auth_common.throttling.service import unlock_account
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
    """Mark the address of an account as verified, after the operator has checked it. Sessions stay valid.

    Raises:
        NotFound: no account has this address.

    """

    def mark(connection: Connection) -> User:
        found = select_user_by_email(connection, email=email)
        user = lock_user(connection, user_id=found.id) if found else None
        if user is None:
            raise NotFound
        now = datetime.now(UTC)
        status = mark_verified(connection, user_id=user.id, now=now)
        security_event(SecurityEvent.USER_EMAIL_VERIFIED, user_id=user.id, reason="by_operator")
        return replace(user, email_verified_at=now, status=status)

    return transaction(mark)


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

"""Accounts, as an operator changes them: role, status, and the end of all sessions.

Each change raises the user's token version. Every session carries the version of its login, and every request compares
the two: the change takes effect at the next request, whatever tokens are out and whatever a gateway has cached.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import NoPasskey, NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys.store import Passkey, delete_passkeys, select_passkeys_of
from auth_common.throttling.service import unlock
from auth_common.transactions import read, transaction
from auth_common.users.store import User, select_credentials, update_account

ROLES: Final = ("user", "security", "admin")


def change_role(email: str, role: str) -> User:
    """Give the user with this normalised address one of ``ROLES``.

    Raises:
        ValueError: no such role.
        NotFound: no such user.

    """
    if role not in ROLES:
        raise ValueError("the roles are: " + ", ".join(ROLES))
    return _change(email, SecurityEvent.AUTHZ_CHANGE, role=role)


def disable_user(email: str) -> User:
    """Let the user in no more, from the next request on.

    Raises:
        NotFound: no such user.

    """
    return _change(email, SecurityEvent.USER_DISABLED, status="disabled")


def enable_user(email: str) -> User:
    """Let a disabled user log in again.

    Raises:
        NotFound: no such user.

    """
    return _change(email, SecurityEvent.USER_ENABLED, status="active")


def revoke_sessions_of(email: str) -> User:
    """End all sessions of a user, for example after a theft.

    Raises:
        NotFound: no such user.

    """
    return _change(email, SecurityEvent.AUTHN_TOKEN_REVOKED)


def unlock_user(email: str) -> tuple[User, int]:
    """Forget the failures that keep a user from logging in, and return the user and how many counters there were.

    Nothing else changes: no session ends.

    Raises:
        NotFound: no such user.

    """

    def forget(connection: Connection) -> tuple[User, int]:
        found = select_credentials(connection, email=email)
        if found is None:
            raise NotFound
        forgotten = unlock(connection, email=email, user_id=found.user.id)
        security_event(SecurityEvent.USER_UPDATED, user_id=found.user.id, reason="unlocked_by_operator")
        return found.user, forgotten

    return transaction(forget)


def list_passkeys_of(email: str) -> tuple[User, list[Passkey]]:
    """Return the user with this normalised address and their passkeys, newest first. The reading is recorded.

    Raises:
        NotFound: no such user.

    """

    def select(connection: Connection) -> tuple[User, list[Passkey]]:
        found = select_credentials(connection, email=email)
        if found is None:
            raise NotFound
        user = found.user
        security_event(SecurityEvent.SENSITIVE_READ, user_id=user.id, reason="by_operator", target="passkeys")
        return user, select_passkeys_of(connection, user_id=user.id)

    return transaction(select)


def passkeys_added_since(user: User, since: datetime) -> list[Passkey]:
    """Return the passkeys that were added to an account since then, newest first."""
    found = read(lambda connection: select_passkeys_of(connection, user_id=user.id))
    return [passkey for passkey in found if passkey.created_at >= since]


def remove_passkeys(email: str, *, since: datetime | None = None) -> tuple[User, int]:
    """Delete passkeys of a user, and revoke all of the user's sessions.

    Without a passkey, the password alone logs the user in again.

    Args:
        email: normalised.
        since: only those that were added since then, for example since a theft.

    Returns:
        The user, and how many passkeys were deleted.

    Raises:
        NotFound: no such user.
        NoPasskey: there is none to delete; nothing has changed. The operator probably means another user.

    """

    def remove(connection: Connection) -> tuple[User, int]:
        user = _update(connection, email)
        removed = delete_passkeys(connection, user_id=user.id, since=since)
        if not removed:
            raise NoPasskey
        security_event(
            SecurityEvent.AUTHN_PASSKEY_REMOVED, user_id=user.id, reason="by_operator", passkeys_removed=removed
        )
        return user, removed

    return transaction(remove)


def _change(email: str, event: SecurityEvent, **values: str) -> User:
    def change(connection: Connection) -> User:
        user = _update(connection, email, **values)
        security_event(event, user_id=user.id, reason="by_operator", role=values.get("role"))
        return user

    return transaction(change)


def _update(connection: Connection, email: str, **values: str) -> User:
    user = update_account(connection, email=email, **values)
    if user is None:
        raise NotFound
    return user

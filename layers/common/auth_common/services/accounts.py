"""Accounts, as an operator changes them: role, status, and the end of all sessions.

Each change raises the user's token version. Every session carries the version of its login, and every request compares
the two: the change takes effect at the next request, whatever tokens are out and whatever a gateway has cached.
"""

from typing import Final

from sqlalchemy import Connection

from auth_common.db.engine import transaction
from auth_common.db.passkeys import delete_passkeys
from auth_common.db.users import User, update_account
from auth_common.errors import NoPasskey, NotFound
from auth_common.monitoring.security_events import SecurityEvent, security_event

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


def end_sessions_of(email: str) -> User:
    """End all sessions of a user, for example after a theft.

    Raises:
        NotFound: no such user.

    """
    return _change(email, SecurityEvent.AUTHN_TOKEN_REVOKED)


def remove_passkeys(email: str) -> tuple[User, int]:
    """Delete all passkeys of a user who has lost them, and end their sessions: the password alone lets them in again.

    Returns the user, and how many passkeys they had.

    Raises:
        NotFound: no such user.
        NoPasskey: they have none; nothing has changed. Whoever wanted to remove some means another user.

    """

    def remove(connection: Connection) -> tuple[User, int]:
        user = _update(connection, email)
        removed = delete_passkeys(connection, user_id=user.id)
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

"""The lock under which the passkeys of the caller's account change."""

from sqlalchemy import Connection

from auth_common.sessions.caller_checks import rejected_caller
from auth_common.sessions.principal import Principal
from auth_common.users.store import User, lock_user


def lock_caller(connection: Connection, principal: Principal) -> User:
    """Lock the caller's row until the transaction ends, and return the user.

    Concurrent registrations run one after another, so they cannot exceed the limit of passkeys together. The caller's
    passkeys do not change while the lock is held.

    Raises:
        InvalidToken: the user has been erased.

    """
    user = lock_user(connection, user_id=principal.user_id)
    if user is None:
        raise rejected_caller(principal)
    return user

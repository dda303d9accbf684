"""The caller's account: its lock, and its passkeys."""

from sqlalchemy import Connection

from auth_common.passkeys.store import Passkey, select_caller_state_and_passkeys
from auth_common.sessions.caller_checks import rejected_caller, require_valid_caller_state
from auth_common.sessions.principal import Principal
from auth_common.sessions.store import CallerState
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


def require_valid_session_with_passkeys(
    connection: Connection, principal: Principal
) -> tuple[CallerState, list[Passkey]]:
    """Read the caller's session, account and passkeys in one statement, and return them if the session is valid.

    Raises:
        InvalidToken: the session is not valid.

    """
    state, passkeys = select_caller_state_and_passkeys(
        connection, session_id=principal.session_id, user_id=principal.user_id
    )
    return require_valid_caller_state(principal, state), passkeys

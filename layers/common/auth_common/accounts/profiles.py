"""Read a user's profile, if the caller may see it."""

from auth_common.errors import NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.caller_checks import require_self, require_valid_caller_state
from auth_common.sessions.principal import Principal
from auth_common.sessions.store import select_caller_state_and_user
from auth_common.transactions import read
from auth_common.users.store import User
from auth_common.users.uuids import parse_uuid


def get_profile(principal: Principal, user_id: str) -> User:
    """Return the user with this id. Only an admin may read another user (OWASP API1:2023, BOLA).

    Args:
        principal: the caller.
        user_id: the untrusted text in the path.

    Raises:
        InvalidToken: the caller's session is not valid any more.
        Forbidden: the id is not the caller's, and the caller is not an admin. The error is the same for unknown ids.
        NotFound: the caller is an admin, and no user has this id.

    """
    target_id = parse_uuid(user_id)
    caller_state, user = read(
        lambda connection: select_caller_state_and_user(
            connection, session_id=principal.session_id, user_id=principal.user_id, target_id=target_id
        )
    )
    caller_state = require_valid_caller_state(principal, caller_state)
    if caller_state.role != "admin":
        require_self(principal, target_id)
    if user is None:
        raise NotFound
    if user.id != principal.user_id:
        security_event(SecurityEvent.SENSITIVE_READ, user_id=principal.user_id, target=str(user.id))
    return user

"""Profiles: who may see whose data."""

from auth_common.errors import NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.caller_checks import require_self, require_standing
from auth_common.sessions.principal import Principal
from auth_common.sessions.store import select_standing_and_user
from auth_common.transactions import read
from auth_common.users.identifiers import parse_id
from auth_common.users.store import User


def get_profile(principal: Principal, user_id: str) -> User:
    """Return the user ``user_id``, who must be the caller unless the caller is an admin (OWASP API1:2023, BOLA).

    Args:
        principal: the caller.
        user_id: as it stood in the path; anything.

    Raises:
        InvalidToken: the caller's session has ended.
        Forbidden: somebody else's id, or one that does not exist: a caller cannot find out which.
        NotFound: an admin asked for an id that does not exist.

    """
    target_id = parse_id(user_id)
    standing, user = read(
        lambda connection: select_standing_and_user(
            connection, session_id=principal.session_id, user_id=principal.user_id, target_id=target_id
        )
    )
    standing = require_standing(principal, standing)
    if standing.role != "admin":
        require_self(principal, target_id)
    if user is None:
        raise NotFound
    if user.id != principal.user_id:
        security_event(SecurityEvent.SENSITIVE_READ, user_id=principal.user_id, target=str(user.id))
    return user

"""Introspection: whether an access token is valid now, with its session and account (RFC 7662).

A service that verifies tokens itself learns of a logout when the token expires. By introspection it learns it at once.
A client may ask about tokens of its own audience only. For every other token the response is ``active: false``, after
the same statements, so that a client does not learn whether it is valid elsewhere.

An introspection is no use of the session. It changes nothing but the counter of inactive tokens.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.clients.store import Client, select_client
from auth_common.errors import InvalidToken, UnauthorizedClient
from auth_common.events import metrics
from auth_common.events.logger import SECRET_PREFIXES
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.caller_checks import rejection_reason
from auth_common.sessions.principal import Principal
from auth_common.sessions.store import select_caller_state
from auth_common.settings import settings
from auth_common.throttling.service import count_inactive_introspection
from auth_common.tokens.access_tokens import ACCESS_TOKEN_TYPE, AccessClaims
from auth_common.tokens.introspected_tokens import IntrospectedToken, read_introspected_token
from auth_common.tokens.signed_tokens import claimed_type
from auth_common.transactions import read

_NO_ID: Final = UUID(int=0)


def introspect(client: Client, token: str) -> dict[str, Any] | None:
    """Return the claims of an access token, if it is valid now and for this client. Return None otherwise.

    Args:
        client: the authenticated client.
        token: any text.

    Raises:
        UnauthorizedClient: the client may not introspect, or has no audience.

    """
    if not client.may_introspect or client.audience is None:
        _record(client, "client_may_not_introspect", is_foreign=True)
        raise UnauthorizedClient
    try:
        presented = read_introspected_token(token)
    except InvalidToken:
        presented = None
    fault = read(lambda connection: _fault(connection, presented))
    if presented is None:
        is_foreign = token.startswith(SECRET_PREFIXES) or claimed_type(token) not in {None, ACCESS_TOKEN_TYPE}
        _record(client, "other_token_type" if is_foreign else "invalid_token", is_foreign=is_foreign)
        return None
    if client.audience not in presented.audiences:
        _record(client, "other_audience", is_foreign=True, subject=presented.subject)
        return None
    if fault is not None:
        _record(client, fault, is_foreign=False, subject=presented.subject)
        return None
    return presented.claims


def _fault(connection: Connection, presented: IntrospectedToken | None) -> str | None:
    """Return why the session of a user's token, or the client of a service token, is not valid. One query in any case.

    Session, account status and token version are read at the same moment.
    """
    if presented is not None and presented.client_name is not None:
        client = select_client(connection, name=presented.client_name)
        # A client that was removed and registered again is another one.
        is_same = client is not None and client.created_at.timestamp() <= presented.issued_at + settings().clock_leeway
        return None if is_same else "client_unknown"
    principal = _principal(presented.user if presented else None)
    state = select_caller_state(connection, session_id=principal.session_id, user_id=principal.user_id)
    return rejection_reason(principal, state)


def _principal(user: AccessClaims | None) -> Principal:
    """Return the user and session of a token. Without them, return ids that do not exist, for the same query."""
    if user is None:
        return Principal(user_id=_NO_ID, session_id=_NO_ID, token_version=0, expires_at=0)
    return Principal(
        user_id=user.user_id,
        session_id=user.session_id,
        token_version=user.token_version,
        expires_at=user.expires_at,
    )


def _record(client: Client, reason: str, *, is_foreign: bool, subject: str | None = None) -> None:
    """Count an inactive token, and record the security event.

    The event has no user, because a record with one costs further statements. Every reason costs the same.
    """
    event = SecurityEvent.AUTHZ_INTROSPECTION_FAIL if is_foreign else SecurityEvent.AUTHN_TOKEN_REJECTED
    if count_inactive_introspection(client.name):
        security_event(event, reason=reason, client=client.name, subject=subject)
    else:
        metrics.count(event)

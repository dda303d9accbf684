"""The access token of an endpoint that accepts requests with and without one.

API Gateway runs no authorizer for such an endpoint, because it would reject a request without a token. So the function
verifies the token itself. This module is separate, because other functions need no verification, and so no PyJWT.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from auth_common.errors import InvalidToken
from auth_common.events.proxy_events import bearer_token, header_values
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.principal import Principal
from auth_common.tokens.access_tokens import verify_access_token


async def _principal(request: Request) -> Principal | None:
    """Return the caller of the request's access token. Return None if the request has no Authorization header.

    Raises:
        InvalidToken: the request has a header that is not a valid access token.

    """
    event = request.scope.get("aws.event", {})
    if not header_values(event, "authorization"):
        return None
    try:
        return _verified(event)
    except InvalidToken as error:
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, reason=error.code)
        raise


async def _replaced_session(request: Request) -> Principal | None:
    """Return the user and session of the request's access token. Return None if it has no valid one.

    A client whose token has expired must be able to log in, so a token that is not valid causes no error.

    Raises:
        Misconfigured: the request has an access token, and this environment cannot read the public keys.

    """
    try:
        return _verified(request.scope.get("aws.event", {}))
    except InvalidToken:
        return None


def _verified(event: Mapping[str, Any]) -> Principal:
    claims = verify_access_token(bearer_token(event))
    return Principal(
        user_id=claims.user_id,
        session_id=claims.session_id,
        token_version=claims.token_version,
        expires_at=claims.expires_at,
    )


OptionalCaller = Annotated[Principal | None, Depends(_principal)]
#: The session that a login replaces (ASVS 5.0 7.2.4).
ReplacedSession = Annotated[Principal | None, Depends(_replaced_session)]

"""The session that a login replaces: a parameter that the endpoints of logins declare by a type annotation.

It has a module of its own, because endpoints without a login need no verification of tokens, and so no PyJWT.
"""

from typing import Annotated, Any

from fastapi import Depends, Request

from auth_common.errors import InvalidToken
from auth_common.events.proxy_events import bearer_token
from auth_common.sessions.principal import Principal
from auth_common.tokens.access_tokens import verify_access_token


async def _replaced_session(request: Request) -> Principal | None:
    """Return the user and session of the request's access token. Return None if it has no valid one.

    The gateway has no authorizer before a login, so the token is verified here. A client whose token has expired must
    be able to log in, so a token that is not valid causes no error.

    Raises:
        Misconfigured: the request has an access token, and this environment cannot read the public keys.

    """
    event: dict[str, Any] = request.scope.get("aws.event", {})
    try:
        claims = verify_access_token(bearer_token(event))
    except InvalidToken:
        return None
    return Principal(
        user_id=claims.user_id,
        session_id=claims.session_id,
        token_version=claims.token_version,
        expires_at=claims.expires_at,
    )


ReplacedSession = Annotated[Principal | None, Depends(_replaced_session)]

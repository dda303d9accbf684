"""Service tokens: access tokens of clients, which no user has logged in for (RFC 9068, RFC 6749 section 4.4).

They lack ``sid`` and ``tv``, which every access token of a user has. So no route for users accepts them, even
with its audience. Their ``sub`` begins with ``client:``, so it is never the id of a user (RFC 9068 section 5).
"""

from datetime import timedelta
from uuid import uuid4

from auth_common.settings import settings
from auth_common.tokens.access_tokens import ACCESS_TOKEN_TYPE
from auth_common.tokens.signed_tokens import sign_token


def issue_service_token(*, subject: str, client_id: str, audience: str, scope: str | None, now: int) -> str:
    """Return a signed service token, valid from ``now`` for ``SERVICE_TOKEN_LIFETIME``.

    Args:
        subject: ``sub``, such as ``client:billing``.
        client_id: ``client_id``.
        audience: ``aud``, the one service that accepts the token.
        scope: ``scope``, separated by spaces. With None, the token has no such claim.
        now: the time in seconds since the epoch.

    """
    scopes = {"scope": scope} if scope else {}
    return sign_token(
        {"sub": subject, "client_id": client_id, **scopes, "jti": str(uuid4())},
        token_type=ACCESS_TOKEN_TYPE,
        audience=audience,
        now=now,
        lifetime=timedelta(seconds=settings().service_token_lifetime),
    )

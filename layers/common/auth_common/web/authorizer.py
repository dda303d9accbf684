"""Authorization at the gateway: an access token in, an IAM policy and the caller's context out.

The policy is safe to cache. API Gateway keeps it for minutes under the token and applies it to the next request with
that token, whatever its path: a policy that named only the path at hand would refuse the next one (the commonest
authorizer bug). So it names every protected route, and depends on nothing but the token.

What a caller may do *on* a route (own data or another's, role, MFA) is decided by the function from the database, where
a refusal becomes a security event. See docs/decisions/0005.
"""

from typing import Any, Final

from auth_common.errors import Misconfigured, ServiceError
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.tokens.access_tokens import AccessClaims, verify_access_token

#: Every route behind the authorizer, as in template.yaml (a test holds the two equal). "*" also matches slashes; a test
#: sees to it that none of these reaches another route.
PROTECTED_ROUTES: Final = (
    "GET/users/*",
    "PUT/users/*/password",
    "POST/step-up",
    "POST/logout",
    "GET/sessions",
    "DELETE/sessions",
    "DELETE/sessions/*",
    "POST/webauthn/register/begin",
    "POST/webauthn/register/complete",
    "GET/webauthn/credentials",
    "PATCH/webauthn/credentials/*",
    "DELETE/webauthn/credentials/*",
    "GET/audit/events",
    "GET/audit/summary",
)


def authorize(*, token: str, method_arn: str) -> dict[str, Any]:
    """Return the policy for the bearer of ``token``: the protected routes, or nothing at all.

    Never raises for a bad token. API Gateway answers 401 to a Deny (template.yaml says so) and caches it, while an
    exception would be a 500 that it asks for again each time.

    Args:
        token: the bearer token as it came; anything.
        method_arn: ``arn:aws:execute-api:region:account:api/stage/METHOD/path`` of the request at hand.

    """
    stage_arn = "/".join(method_arn.split("/", 2)[:2])
    try:
        claims = verify_access_token(token)
    except ServiceError as error:
        if isinstance(error, Misconfigured):
            logger.critical("misconfigured", extra={"error": str(error) or error.detail})
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, reason=error.code)
        return _policy("anonymous", "Deny", [f"{stage_arn}/*"])
    return {
        **_policy(str(claims.user_id), "Allow", [f"{stage_arn}/{route}" for route in PROTECTED_ROUTES]),
        "context": _context(claims),
    }


def _policy(principal_id: str, effect: str, resources: list[str]) -> dict[str, Any]:
    return {
        "principalId": principal_id,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resources}],
        },
    }


def _context(claims: AccessClaims) -> dict[str, str]:
    """Return what the functions learn of the caller. Strings, as API Gateway would make of anything else."""
    return {
        "user_id": str(claims.user_id),
        "session_id": str(claims.session_id),
        "token_version": str(claims.token_version),
        "amr": " ".join(claims.amr),
        "auth_time": str(claims.auth_time),
        # The gateway may keep this answer for longer than the token lives: the functions look at the clock again.
        "expires_at": str(claims.expires_at),
    }

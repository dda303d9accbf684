"""Authorization at the gateway: an access token in, an IAM policy and the caller's context out.

The policy is safe to cache. API Gateway caches it for minutes under the token, and applies it to the next request with
that token on any path. A policy for one path would reject the next request: the most common authorizer bug. So the
policy depends on the token only, and names every protected route.

The function decides from the database what a caller may do on a route (own data or another user's, role, MFA). There a
rejection becomes an audit record. See docs/decisions/0005.
"""

from typing import Any

from auth_common.errors import Misconfigured, ServiceError
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.tokens.access_tokens import AccessClaims, verify_access_token
from auth_common.web.problem_documents import log_misconfiguration
from auth_common.web.protected_routes import PROTECTED_ROUTES


def authorize(*, token: str, method_arn: str) -> dict[str, Any]:
    """Return a policy that allows all protected routes, or for an invalid token one that denies every route.

    An invalid token raises no exception. API Gateway returns 401 for a Deny (template.yaml says so) and caches it. For
    an exception it returns 500, and calls the authorizer again each time.

    Args:
        token: the bearer token of the request, which may be any text.
        method_arn: ``arn:aws:execute-api:region:account:api/stage/METHOD/path`` of the request.

    """
    stage_arn = "/".join(method_arn.split("/", 2)[:2])
    try:
        claims = verify_access_token(token)
    except ServiceError as error:
        if isinstance(error, Misconfigured):
            log_misconfiguration(error)
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
    """Return what the functions get to know of the caller, as strings: API Gateway converts any other type to one."""
    return {
        "user_id": str(claims.user_id),
        "session_id": str(claims.session_id),
        "token_version": str(claims.token_version),
        "amr": " ".join(claims.amr),
        "auth_time": str(claims.auth_time),
        # The gateway may cache the policy beyond the token's expiry, so the functions check the time again.
        "expires_at": str(claims.expires_at),
    }

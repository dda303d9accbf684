"""The Lambda authorizer: a bearer token in, an IAM policy for API Gateway out.

It checks signature and claims, and asks no database: the functions do that, at every request. It imports neither
FastAPI nor SQLAlchemy, because every first request of a caller waits for it.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import observed
from auth_common.web.authorizer import authorize


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer the policy for the request's token (REST API, REQUEST authorizer)."""
    return authorize(token=_bearer_token(event), method_arn=event["methodArn"])


def _bearer_token(event: dict[str, Any]) -> str:
    """Return the token of the one Authorization header (RFC 6750 section 2.1); "", which is no token, for any other."""
    values = [
        value
        for name, header_values in (event.get("multiValueHeaders") or {}).items()
        if name.lower() == "authorization"
        for value in header_values
    ]
    if len(values) != 1:
        return ""  # two headers: the gateway's cache may have looked at the other one
    scheme, _, token = values[0].partition(" ")
    return token if scheme.lower() == "bearer" else ""

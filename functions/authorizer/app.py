"""The Lambda authorizer: a bearer token in, an IAM policy for API Gateway out.

It checks the token's signature and claims without a database. The functions check session, account and role in the
database at every request. It imports neither FastAPI nor SQLAlchemy, because a caller's first request waits for it.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import observed
from auth_common.web.authorizer import authorize
from auth_common.web.proxy_events import header_values


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the policy for the request's token (REST API, REQUEST authorizer)."""
    return authorize(token=_bearer_token(event), method_arn=event["methodArn"])


def _bearer_token(event: dict[str, Any]) -> str:
    """Return the token of the only Authorization header (RFC 6750 section 2.1).

    Return "", which is not a valid token, if the request has no such header, several, or one of another scheme.
    """
    values = header_values(event, "authorization")
    if len(values) != 1:
        return ""  # The gateway may have cached the policy under the other of two headers.
    scheme, _, token = values[0].partition(" ")
    return token if scheme.lower() == "bearer" else ""

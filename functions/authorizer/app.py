"""The Lambda authorizer: a bearer token in, an IAM policy for API Gateway out.

It checks the token's signature and claims without a database. The functions check session, account and role in the
database at every request. It imports neither FastAPI nor SQLAlchemy, because a caller's first request waits for it.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import observed
from auth_common.events.proxy_events import bearer_token
from auth_common.web.authorizer import authorize


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the policy for the request's token (REST API, REQUEST authorizer)."""
    return authorize(token=bearer_token(event), method_arn=event["methodArn"])

"""OPTIONS on every path: the preflight that a browser sends before a request of a page on another origin.

It imports no FastAPI, because the page's first request waits for it. A mock integration of API Gateway could allow one
origin only.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events import request_context
from auth_common.events.invocation import observed
from auth_common.web.cors import preflight_headers
from auth_common.web.headers import SECURITY_HEADERS
from auth_common.web.proxy_events import header_values


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return 204 for any request. Only a listed origin gets the header fields that allow the page's request."""
    headers = {
        **SECURITY_HEADERS,
        "X-Request-Id": request_context.get().request_id,
        **preflight_headers(header_values(event, "origin")),
    }
    in_small_letters = {name.lower(): value for name, value in headers.items()}  # as in every other response
    return {"statusCode": 204, "headers": in_small_letters, "body": "", "isBase64Encoded": False}

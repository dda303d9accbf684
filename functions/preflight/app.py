"""OPTIONS on every path: the preflight that a browser sends before a request of a page on another origin.

It imports no FastAPI, because the page's first request waits for it. A mock integration of API Gateway could allow one
origin only.
"""

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.errors import Misconfigured
from auth_common.events import request_context
from auth_common.events.invocation import observed
from auth_common.events.logger import logger
from auth_common.web.cors import preflight_headers
from auth_common.web.headers import SECURITY_HEADERS
from auth_common.web.proxy_events import header_values


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return 204. Only a listed origin gets the header fields that allow the page's request.

    Return 503 if a setting is wrong. Browsers then send no further request, so only this function can log the reason.
    """
    try:
        headers = preflight_headers(header_values(event, "origin"))
    except Misconfigured as error:
        logger.critical("misconfigured", extra={"error": str(error) or error.detail})
        return _response(error.status, {"Content-Type": "application/problem+json", "Vary": "Origin"}, _problem(error))
    return _response(HTTPStatus.NO_CONTENT, headers, "")


def _response(status: int, headers: dict[str, str], body: str) -> dict[str, Any]:
    headers = {**SECURITY_HEADERS, "X-Request-Id": request_context.get().request_id, **headers}
    in_small_letters = {name.lower(): value for name, value in headers.items()}  # as in every other response
    return {"statusCode": int(status), "headers": in_small_letters, "body": body, "isBase64Encoded": False}


def _problem(error: Misconfigured) -> str:
    """Return the problem document that ``web.problems`` returns in the functions with FastAPI."""
    return json.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(error.status).phrase,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_context.get().request_id,
        }
    )

"""OPTIONS on every path: the preflight that a browser sends before a request of a page on another origin.

It imports no FastAPI, because the page's first request waits for it. A mock integration of API Gateway could allow one
origin only.
"""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.errors import Misconfigured
from auth_common.events import request_context
from auth_common.events.invocation import observed
from auth_common.events.proxy_events import header_values
from auth_common.web.cors import preflight_headers
from auth_common.web.headers import SECURITY_HEADERS
from auth_common.web.problem_documents import PROBLEM_JSON, log_misconfiguration, problem_document


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return 204. Only a listed origin gets the header fields that allow the page's request.

    Return 503 if a setting is wrong. Browsers then send no further request, so only this function can log the reason.
    """
    try:
        headers = preflight_headers(header_values(event, "origin"))
    except Misconfigured as error:
        log_misconfiguration(error)
        document = problem_document(status=error.status, code=error.code, detail=error.detail)
        headers = {"Content-Type": PROBLEM_JSON, "Vary": "Origin", **error.headers}
        return _response(error.status, headers, json.dumps(document))
    return _response(204, headers, "")


def _response(status: int, headers: dict[str, str], body: str) -> dict[str, Any]:
    headers = {**SECURITY_HEADERS, "X-Request-Id": request_context.get().request_id, **headers}
    in_small_letters = {name.lower(): value for name, value in headers.items()}  # as in every other response
    return {"statusCode": status, "headers": in_small_letters, "body": body, "isBase64Encoded": False}

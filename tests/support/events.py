"""The arguments that API Gateway (REST) and Lambda pass to a function: proxy and authorizer events, the context."""

import base64
import json
import re
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode
from uuid import uuid4

from aws_lambda_powertools.utilities.typing import LambdaContext

from tests.support.routes import ROUTES

ACCOUNT = "123456789012"
STAGE_ARN = f"arn:aws:execute-api:eu-central-1:{ACCOUNT}:a1b2c3d4e5/local"
SOURCE_IP = "203.0.113.7"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def proxy_event(
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    path_parameters: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    authorizer: Mapping[str, str] | None = None,
    **identity: str,
) -> dict[str, Any]:
    """Return the proxy event of a request. A body that is not UTF-8 is base64-encoded, as for a binary media type.

    ``identity`` replaces values of the request's identity: ``sourceIp`` (the client IP) or ``userAgent``.
    """
    headers = {"Content-Type": "application/json", **(headers or {})} if body is not None else dict(headers or {})
    return {
        "resource": _resource(path, path_parameters or {}),
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": dict(path_parameters) if path_parameters else None,
        "stageVariables": None,
        "requestContext": {
            "requestId": str(uuid4()),
            "stage": "local",
            "httpMethod": method,
            "path": f"/local{path}",
            "identity": {"sourceIp": SOURCE_IP, "userAgent": USER_AGENT, **identity},
            **({"authorizer": dict(authorizer)} if authorizer is not None else {}),
        },
        **_encode(body),
    }


def _resource(path: str, parameters: Mapping[str, str]) -> str:
    """Return the path of the route that a request matches, or the request's path if no route matches."""
    for name, value in parameters.items():
        path = path.replace(value, f"{{{name}}}")
    return next((route.path for route in ROUTES if re.fullmatch(re.sub("{.*?}", "[^/]+", route.path), path)), path)


def json_event(method: str, path: str, body: Any, **options: Any) -> dict[str, Any]:
    """Return the proxy event of a request with ``body``, encoded as JSON."""
    return proxy_event(method, path, body=json.dumps(body).encode(), **options)


def form_event(path: str, parameters: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """Return the proxy event of a POST with a form, as the routes of OAuth expect it."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", **options.pop("headers", {})}
    return proxy_event("POST", path, body=urlencode(parameters).encode(), headers=headers, **options)


def authorizer_event(authorization: str | None, *, method: str = "GET", path: str = "/users/x") -> dict[str, Any]:
    """Return the event that a REQUEST authorizer gets for a request with this Authorization header."""
    headers = {} if authorization is None else {"Authorization": authorization}
    return {
        **proxy_event(method, path, headers=headers),
        "type": "REQUEST",
        "methodArn": f"{STAGE_ARN}/{method}{path}",
    }


def lambda_context(function: str, *, timeout: float = 900) -> LambdaContext:
    """Return the Lambda context of an invocation with ``timeout`` seconds left."""
    end = time.monotonic() + timeout
    context = SimpleNamespace(
        function_name=function,
        function_version="$LATEST",
        memory_limit_in_mb=1024,
        invoked_function_arn=f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:{function}",
        aws_request_id=str(uuid4()),
        log_stream_name="2026/01/01/[$LATEST]0",
        get_remaining_time_in_millis=lambda: int(1_000 * (end - time.monotonic())),
    )
    return cast("LambdaContext", context)


def _encode(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"body": None, "isBase64Encoded": False}
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}

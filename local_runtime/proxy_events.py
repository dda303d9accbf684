"""Lambda proxy events: requests in the format that API Gateway's REST APIs send to functions (payload format 1.0)."""

import base64
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

from local_runtime.cloudformation import ACCOUNT_ID, REGION
from local_runtime.routing import Match

_API_ID: Final = "1234567890"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request."""

    method: str
    #: Percent-encoded, without the query.
    path: str
    query: str
    #: Names in lower case and values, in the request's order.
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: The client IP of the connection. ``X-Forwarded-For`` is ignored, because the client chooses its value.
    source_ip: str
    #: For example ``HTTP/1.1``.
    protocol: str


def request_context(request: Request, *, stage: str, match: Match | None) -> dict[str, Any]:
    """Return ``requestContext``: the facts about a request that the gateway sets, not the client."""
    now = time.time()
    resource = match.route.path if match else None
    return {
        "accountId": ACCOUNT_ID,
        "apiId": _API_ID,
        "domainName": "localhost",
        "extendedRequestId": str(uuid4()),
        "httpMethod": request.method,
        "identity": {"sourceIp": request.source_ip, "userAgent": _last_values(request.headers).get("user-agent")},
        "path": f"/{stage}{request.path}",
        "protocol": request.protocol,
        "requestId": str(uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": resource,
        "resourcePath": resource,
        "stage": stage,
    }


def proxy_event(
    request: Request, match: Match, context: Mapping[str, Any], *, binary_media_types: frozenset[str]
) -> dict[str, Any]:
    """Return the event for the function.

    The body is base64 if its media type is one of ``binary_media_types`` or if it is not UTF-8. API Gateway replaces
    invalid UTF-8, and a function could not notice the loss.
    """
    body, is_base64 = _body_text(request, binary_media_types)
    return {
        **_common(request, match),
        "requestContext": dict(context),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def authorizer_event(request: Request, match: Match, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event for a REQUEST authorizer. It has no body."""
    return {
        **_common(request, match),
        "type": "REQUEST",
        "methodArn": method_arn(request, stage=context["stage"]),
        "requestContext": dict(context),
    }


def method_arn(request: Request, *, stage: str) -> str:
    """Return the ARN of the request's method and path, which the authorizer's policy must allow."""
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{_API_ID}/{stage}/{request.method}{request.path}"


def values_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return all values of each name, in order."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the query's parameters, decoded."""
    return parse_qsl(request.query, keep_blank_values=True)


def _common(request: Request, match: Match) -> dict[str, Any]:
    query = query_pairs(request)
    return {
        "resource": match.route.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last_values(request.headers),
        "multiValueHeaders": values_by_name(request.headers),
        # API Gateway sends null, not {}, if there are no parameters.
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": values_by_name(query) or None,
        "pathParameters": match.path_parameters or None,
        "stageVariables": None,
    }


def _last_values(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one value for each name: the last one of a repeated header."""
    return dict(headers)


def _body_text(request: Request, binary_media_types: frozenset[str]) -> tuple[str | None, bool]:
    media_type = _last_values(request.headers).get("content-type", "").partition(";")[0].strip().lower()
    if not request.body:
        return None, False
    if not is_binary(media_type, binary_media_types):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def is_binary(media_type: str, binary_media_types: frozenset[str]) -> bool:
    """Return whether the API treats bodies of this media type as binary."""
    return bool({media_type, "*/*"} & binary_media_types)

"""Lambda proxy events: a request as API Gateway's REST APIs hand it to functions and authorizers (format 1.0)."""

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
    """An HTTP request, as it came."""

    method: str
    #: Percent-encoded, without the query.
    path: str
    query: str
    #: Names in lower case, in the order in which they came.
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: The other end of the connection. ``X-Forwarded-For`` is the client's word and counts for nothing.
    source_ip: str
    #: ``HTTP/1.1``
    protocol: str


def request_context(request: Request, *, stage: str, match: Match | None) -> dict[str, Any]:
    """Return ``requestContext``: what the gateway vouches for."""
    now = time.time()
    resource = match.route.path if match else None
    return {
        "accountId": ACCOUNT_ID,
        "apiId": _API_ID,
        "domainName": "localhost",
        "extendedRequestId": str(uuid4()),
        "httpMethod": request.method,
        "identity": {"sourceIp": request.source_ip, "userAgent": _last(request.headers).get("user-agent")},
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

    A body travels as base64 where its media type is one of ``binary_media_types``, and where it is not UTF-8: API
    Gateway would replace the broken bytes, and the function could not tell.
    """
    body, is_base64 = _body_text(request, binary_media_types)
    return {
        **_common(request, match),
        "requestContext": dict(context),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def authorizer_event(request: Request, match: Match, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event for a REQUEST authorizer: everything but the body."""
    return {
        **_common(request, match),
        "type": "REQUEST",
        "methodArn": method_arn(request, stage=context["stage"]),
        "requestContext": dict(context),
    }


def method_arn(request: Request, *, stage: str) -> str:
    """Return the ARN that the authorizer's policy must allow."""
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{_API_ID}/{stage}/{request.method}{request.path}"


def values_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Collect every value of each name, in order."""
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
        "headers": _last(request.headers),
        "multiValueHeaders": values_by_name(request.headers),
        # API Gateway says null, not {}, where there is nothing.
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": values_by_name(query) or None,
        "pathParameters": match.path_parameters or None,
        "stageVariables": None,
    }


def _last(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one value a name: of repeated headers the last counts."""
    return dict(headers)


def _body_text(request: Request, binary_media_types: frozenset[str]) -> tuple[str | None, bool]:
    media_type = _last(request.headers).get("content-type", "").partition(";")[0].strip().lower()
    if not request.body:
        return None, False
    if not is_binary(media_type, binary_media_types):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def is_binary(media_type: str, binary_media_types: frozenset[str]) -> bool:
    """Tell whether the API treats bodies of this media type as binary."""
    return bool({media_type, "*/*"} & binary_media_types)

"""Lambda proxy responses: what a function returns, as an HTTP response.

As strict as API Gateway's REST APIs: whatever they would answer with 502 is refused here too, so that a function does
not meet its first 502 on AWS.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from local_runtime.proxy_events import is_binary

_KEYS: Final = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: RFC 9110 section 5.5. A line break would let a function's input write headers of its own (CWE-113).
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: The gateway's own business: lengths and connections.
_DROPPED_HEADERS: Final = frozenset({"connection", "content-length", "transfer-encoding"})
_BODYLESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class MalformedResponse(Exception):
    """The function did not return a proxy response. The text says why."""


def to_response(result: Any, *, accept: str, binary_media_types: frozenset[str]) -> Response:
    """Return the HTTP response.

    Args:
        result: what the function returned.
        accept: the request's ``Accept``; its first media type says whether base64 is decoded.
        binary_media_types: the API's ``BinaryMediaTypes``.

    Raises:
        MalformedResponse: API Gateway would answer 502.

    """
    if not isinstance(result, Mapping) or not result.keys() <= _KEYS:
        message = f"not an object of {', '.join(sorted(_KEYS))}"
        raise MalformedResponse(message)
    status = _status(result.get("statusCode"))
    body = result.get("body")
    if not isinstance(body, str | None):
        raise MalformedResponse("body is not a string")
    content = (body or "").encode()
    if result.get("isBase64Encoded") is True and is_binary(_first_media_type(accept), binary_media_types):
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            raise MalformedResponse("body is not base64") from None
    response = Response(b"" if status in _BODYLESS else content, status_code=status)
    for name, values in _headers(result).items():
        for value in values:
            response.headers.append(name, value)
    response.headers.setdefault("Content-Type", "application/json")
    return response


def _status(value: Any) -> int:
    try:
        status = int(value) if type(value) in {int, str} else 0
    except ValueError:
        status = 0
    if not HTTPStatus.OK <= status <= 599:  # noqa: PLR2004 - RFC 9110 section 15
        raise MalformedResponse("statusCode is not an HTTP status")
    return status


def _first_media_type(accept: str) -> str:
    return re.split("[,;]", accept, maxsplit=1)[0].strip().lower()


def _headers(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Merge the two maps: a name in ``multiValueHeaders`` counts there."""
    single, multiple = (
        {} if (value := result.get(name)) is None else value for name in ("headers", "multiValueHeaders")
    )
    if not isinstance(single, Mapping) or not isinstance(multiple, Mapping):
        raise MalformedResponse("headers are not an object")
    headers = {name.lower(): [_header_value(name, value)] for name, value in single.items()}
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise MalformedResponse("multiValueHeaders are not lists")
        headers[name.lower()] = [_header_value(name, value) for value in values]
    return {name: values for name, values in headers.items() if name not in _DROPPED_HEADERS}


def _header_value(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        message = f"header {name!r} is neither a text nor a number nor a truth value"
        raise MalformedResponse(message)
    text = value if isinstance(value, str) else json.dumps(value)
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
        message = f"header {name!r} is not valid"
        raise MalformedResponse(message)
    return text

"""Lambda proxy responses: convert a function's result to an HTTP response.

The validation is as strict as that of API Gateway's REST APIs. A result that causes a 502 on AWS causes a 502 here too.
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
#: RFC 9110 section 5.5. A line break in a value would allow a client to inject headers (CWE-113).
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: Headers that the gateway sets itself.
_DROPPED_HEADERS: Final = frozenset({"connection", "content-length", "transfer-encoding"})
_BODYLESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class MalformedResponse(Exception):
    """The function's result is not a proxy response. The text gives the reason."""


def to_response(result: Any, *, accept: str, binary_media_types: frozenset[str]) -> Response:
    """Return the HTTP response for a function's result.

    Args:
        result: the function's result.
        accept: the request's header ``Accept``. Base64 is decoded if its first media type is binary.
        binary_media_types: the API's ``BinaryMediaTypes``.

    Raises:
        MalformedResponse: the result is not a proxy response. API Gateway answers 502.

    """
    if not isinstance(result, Mapping) or not result.keys() <= _KEYS:
        message = f"the result must be an object with no other keys than {', '.join(sorted(_KEYS))}"
        raise MalformedResponse(message)
    status = _status(result.get("statusCode"))
    body = result.get("body")
    if not isinstance(body, str | None):
        raise MalformedResponse("body must be a string")
    content = (body or "").encode()
    if result.get("isBase64Encoded") is True and is_binary(_first_media_type(accept), binary_media_types):
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            raise MalformedResponse("body must be base64") from None
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
        raise MalformedResponse("statusCode must be a number from 200 to 599")
    return status


def _first_media_type(accept: str) -> str:
    return re.split("[,;]", accept, maxsplit=1)[0].strip().lower()


def _headers(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the headers of both maps. A name in ``multiValueHeaders`` replaces the same name in ``headers``."""
    single, multiple = (
        {} if (value := result.get(name)) is None else value for name in ("headers", "multiValueHeaders")
    )
    if not isinstance(single, Mapping) or not isinstance(multiple, Mapping):
        raise MalformedResponse("headers and multiValueHeaders must be objects")
    headers = {name.lower(): [_header_value(name, value)] for name, value in single.items()}
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise MalformedResponse("the values of multiValueHeaders must be lists")
        headers[name.lower()] = [_header_value(name, value) for value in values]
    return {name: values for name, values in headers.items() if name not in _DROPPED_HEADERS}


def _header_value(name: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        message = f"header {name!r} must be a string, a number or a boolean"
        raise MalformedResponse(message)
    text = value if isinstance(value, str) else json.dumps(value)
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
        message = f"header {name!r} is not valid"
        raise MalformedResponse(message)
    return text

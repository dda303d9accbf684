"""Gateway responses: API Gateway's own responses to requests that reach no function or fail.

AWS: "Gateway responses in API Gateway" (developer guide), with the table of types, variables and defaults.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self

from starlette.responses import Response

from local_runtime.cloudformation import TemplateError


class Failure(Enum):
    """The types of gateway response that the runtime returns, with API Gateway's default status and text.

    ``DEFAULT_4XX`` is the response to a rejected ``Host``, and ``DEFAULT_5XX`` is API Gateway's 502. Neither of them
    has a type of its own.
    """

    UNAUTHORIZED = (401, "Unauthorized")
    ACCESS_DENIED = (403, "User is not authorized to access this resource")
    MISSING_AUTHENTICATION_TOKEN = (403, "Missing Authentication Token")
    DEFAULT_4XX = (400, "Bad Request")
    REQUEST_TOO_LARGE = (413, "Request Too Long")
    AUTHORIZER_FAILURE = (500, "Authorizer failure")
    AUTHORIZER_CONFIGURATION_ERROR = (500, "Authorizer configuration error")
    DEFAULT_5XX = (502, "Internal server error")

    @property
    def status(self) -> int:
        """The HTTP status, unless the template sets another one."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The text, unless the template sets another one."""
        return self.value[1]


class RequestFailed(Exception):
    """The request fails, and the gateway returns the gateway response of the type ``failure``."""

    def __init__(self, failure: Failure) -> None:
        """Store the type of the gateway response."""
        super().__init__(failure.name)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class _GatewayResponse:
    """One entry of ``GatewayResponses`` in the template."""

    status: int | None
    #: Header names, with a quoted text (``'no-store'``) or a variable (``context.requestId``).
    headers: Mapping[str, str]
    body: str


_VARIABLE: Final = re.compile(r"\$context((?:\.[A-Za-z]+)+)")
_HEADER_SOURCE: Final = re.compile(r"'.*'|context(?:\.[A-Za-z]+)+")
_DEFAULT_BODY: Final = '{"message":$context.error.messageString}'
_DEFAULT: Final = _GatewayResponse(None, {}, _DEFAULT_BODY)


class GatewayResponses:
    """The gateway responses of an API."""

    def __init__(self, responses: Mapping[str, _GatewayResponse]) -> None:
        """Store the responses by type. ``GatewayResponses.parse`` reads them from a template."""
        self._responses = responses

    @classmethod
    def parse(cls, properties: Mapping[str, Any]) -> Self:
        """Return the responses in an API's property ``GatewayResponses``.

        Raises:
            TemplateError: a header's value is neither a quoted text nor a context variable.

        """
        return cls({name: _parse(name, response or {}) for name, response in properties.items()})

    def response_to(self, failure: Failure, context: Mapping[str, Any]) -> Response:
        """Return the HTTP response to a request that failed.

        Args:
            failure: the type of the gateway response.
            context: the request's ``requestContext``, whose values replace the variables of bodies and headers.

        """
        default = self._responses.get(f"DEFAULT_{failure.status // 100}XX", _DEFAULT)
        configured = self._responses.get(failure.name, default)
        error = {
            "message": failure.message,
            "messageString": json.dumps(failure.message),
            "responseType": failure.name,
        }
        variables = {**context, "error": error}
        response = Response(
            _VARIABLE.sub(lambda match: _look_up(match[1], variables), configured.body),
            status_code=configured.status or default.status or failure.status,
            headers={"Content-Type": "application/json"},
        )
        for name, source in configured.headers.items():
            is_text = source.startswith("'")
            response.headers[name] = source[1:-1] if is_text else _look_up(source.removeprefix("context"), variables)
        return response


def _parse(name: str, properties: Mapping[str, Any]) -> _GatewayResponse:
    headers = (properties.get("ResponseParameters") or {}).get("Headers") or {}
    for header, source in headers.items():
        if not _HEADER_SOURCE.fullmatch(source):
            message = f"gateway response {name}: header {header} is neither a 'quoted text' nor a context variable"
            raise TemplateError(message)
    templates = properties.get("ResponseTemplates") or {}
    status = properties.get("StatusCode")
    return _GatewayResponse(
        status=None if status is None else int(status),
        headers=headers,
        body=templates.get("application/json", next(iter(templates.values()), _DEFAULT_BODY)),
    )


def _look_up(path: str, variables: Mapping[str, Any]) -> str:
    """Return the value of a context variable such as ``.error.message``, or "" if this request does not have it."""
    value: Any = variables
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)

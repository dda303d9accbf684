"""Gateway responses: what API Gateway answers by itself when a request does not get through.

AWS: "Gateway responses in API Gateway" (developer guide), and the table of types, variables and defaults there.
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
    """The types of gateway response that can occur here, with API Gateway's own status and text.

    ``DEFAULT_4XX`` and ``DEFAULT_5XX`` stand for a refused ``Host`` and for API Gateway's 502, which have no type of
    their own.
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
        """The HTTP status where the template sets none."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The text where the template sets none."""
        return self.value[1]


class RequestFailed(Exception):
    """The request does not get through; the gateway answers itself."""

    def __init__(self, failure: Failure) -> None:
        """Say which response the gateway gives."""
        super().__init__(failure.name)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class _GatewayResponse:
    """One entry of ``GatewayResponses``."""

    status: int | None
    #: Name -> ``'a text'`` or ``context.variable``.
    headers: Mapping[str, str]
    body: str


_VARIABLE: Final = re.compile(r"\$context((?:\.[A-Za-z]+)+)")
_HEADER_SOURCE: Final = re.compile(r"'.*'|context(?:\.[A-Za-z]+)+")
_DEFAULT_BODY: Final = '{"message":$context.error.messageString}'
_DEFAULT: Final = _GatewayResponse(None, {}, _DEFAULT_BODY)


class GatewayResponses:
    """The gateway responses of an API."""

    def __init__(self, responses: Mapping[str, _GatewayResponse]) -> None:
        """Use ``GatewayResponses.parse``."""
        self._responses = responses

    @classmethod
    def parse(cls, properties: Mapping[str, Any]) -> Self:
        """Read the ``GatewayResponses`` of an API.

        Raises:
            TemplateError: a header's value is neither a quoted text nor a context variable.

        """
        return cls({name: _parse(name, response or {}) for name, response in properties.items()})

    def answer(self, failure: Failure, context: Mapping[str, Any]) -> Response:
        """Return the response to ``failure``.

        Args:
            failure: why the request did not get through.
            context: the request's ``requestContext``, for the variables of templates and headers.

        """
        default = self._responses.get(f"DEFAULT_{failure.status // 100}XX", _DEFAULT)
        response = self._responses.get(failure.name, default)
        error = {
            "message": failure.message,
            "messageString": json.dumps(failure.message),
            "responseType": failure.name,
        }
        variables = {**context, "error": error}
        answer = Response(
            _VARIABLE.sub(lambda match: _look_up(match[1], variables), response.body),
            status_code=response.status or default.status or failure.status,
            headers={"Content-Type": "application/json"},
        )
        for name, source in response.headers.items():
            is_text = source.startswith("'")
            answer.headers[name] = source[1:-1] if is_text else _look_up(source.removeprefix("context"), variables)
        return answer


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
    """Return the context variable ``.error.message``; "" for one that this request does not have."""
    value: Any = variables
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)

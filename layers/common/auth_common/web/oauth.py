"""The routes of OAuth: form bodies and errors as in RFC 6749, which RFC 7009 and RFC 7662 use too.

Stock libraries call these routes, so they differ from the others of this service:

- The body is ``application/x-www-form-urlencoded``. Unknown parameters are ignored, and repeated ones rejected.
- An error is ``application/json`` with ``error``, ``error_description`` and ``request_id``.
"""

import json
import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import Message

from auth_common.errors import (
    FieldError,
    InvalidRequest,
    OAuthError,
    RequestTooLarge,
    ServiceError,
    ServiceUnavailable,
    TooManyAttempts,
    UnsupportedContentEncoding,
    ValidationFailed,
)
from auth_common.events import request_context
from auth_common.events.logger import logger
from auth_common.web.application import create_app
from auth_common.web.json_body import is_encoded
from auth_common.web.problems import record_service_error, unknown_parameters, validation_failure

FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
#: The annotation of an endpoint's argument that is made of the form: ``Annotated[RevocationRequest, FORM]``.
FORM: Final[Any] = Body(media_type=FORM_MEDIA_TYPE)
#: The largest valid body has a signed assertion of a client and a token of a few KiB each.
MAX_FORM_BYTES: Final = 32 * 1024
_MAX_PARAMETERS: Final = 100
#: "%" without two hexadecimal digits. Decoders disagree about its meaning.
_MALFORMED_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Appendix A of RFC 6749 allows them in none of its parameters. PostgreSQL cannot store NUL.
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")


async def authorization(request: Request) -> str | None:
    """Return the header field ``Authorization`` of a client. Several fields are joined, so no scheme matches them."""
    return ", ".join(request.headers.getlist("authorization")) or None


def create_oauth_app() -> FastAPI:
    """Return an application without endpoints: form bodies, and errors of RFC 6749."""
    app = create_app()
    app.router.route_class = FormRoute
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(Exception, _on_unexpected)
    return app


class FormRoute(APIRoute):
    """A route that accepts a form, and gives it to FastAPI as the JSON object that it stands for.

    FastAPI's own parser needs a further library, ignores a malformed form and keeps the last of repeated parameters.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, which gets known parameters only."""
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            if request.query_params:
                # URLs are logged, so a token or a secret in one is known to others (RFC 6749 section 2.3.1).
                raise unknown_parameters(request.query_params, is_recorded=True)
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_MEDIA_TYPE:
                message = f"Send the parameters in the body, with the header Content-Type: {FORM_MEDIA_TYPE}."
                raise InvalidRequest(message)
            if is_encoded(request):
                raise UnsupportedContentEncoding
            octets = await request.body()
            if len(octets) > MAX_FORM_BYTES:
                raise RequestTooLarge
            try:
                return await handle(_as_json(request, parse_form(octets)))
            except RequestValidationError as error:
                # "from None": the text of FastAPI's error is the input, such as a token. No traceback may show it.
                raise validation_failure(error) from None

        return handle_form


def parse_form(octets: bytes) -> dict[str, str]:
    """Return the parameters of a form. Those without a value are left out (RFC 6749 section 3.2).

    Raises:
        ValidationFailed: the form is malformed, or repeats a parameter.

    """
    if not octets.isascii() or _MALFORMED_ESCAPE.search(octets):
        raise ValidationFailed(FieldError("body", "is not a valid form"))
    try:
        pairs = parse_qsl(octets.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        # "from None": the text of the error contains the input.
        raise ValidationFailed(FieldError("body", "is not a valid form")) from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise ValidationFailed(FieldError("body", "has a parameter more than once"))
    if any(_CONTROL_CHARACTER.search(text) for pair in pairs for text in pair):
        raise ValidationFailed(FieldError("body", "has a control character"))
    return {name: value for name, value in pairs if value}


def oauth_response(error: type[ServiceError] | ServiceError) -> tuple[int, str]:
    """Return the status of an error, and its name in ``error``.

    The names of RFC 6749 section 4.1.2.1 stand for errors that section 5.2 does not know. Stock clients know them.
    """
    kind = error if isinstance(error, type) else type(error)
    if issubclass(kind, OAuthError):
        return kind.status, kind.code
    if issubclass(kind, ValidationFailed):
        return HTTPStatus.BAD_REQUEST, InvalidRequest.code
    if issubclass(kind, (TooManyAttempts, ServiceUnavailable)):
        return kind.status, "temporarily_unavailable"
    return kind.status, "server_error" if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidRequest.code


class OAuthErrorResponse(JSONResponse):
    """The response of RFC 6749 section 5.2, with the id of the current request."""

    def __init__(self, error: ServiceError) -> None:
        """Build the response of an error."""
        status, name = oauth_response(error)
        faults = "; ".join(f"{fault.field}: {fault.message}" for fault in error.errors)
        content = {
            "error": name,
            "error_description": faults or error.detail,
            "request_id": request_context.get().request_id,
        }
        super().__init__(content, status_code=status, headers=dict(error.headers))


async def _on_service_error(_request: Request, error: Any) -> Response:
    record_service_error(error)
    return OAuthErrorResponse(error)


async def _on_unexpected(_request: Request, error: Exception) -> Response:
    """Return the response for a bug. The log gets the traceback, and the client only the request id."""
    logger.error("unhandled_exception", exc_info=error)
    return OAuthErrorResponse(ServiceError())


def _as_json(request: Request, parameters: dict[str, str]) -> Request:
    """Return ``request`` with a JSON body."""
    others = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    body = json.dumps(parameters).encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": [*others, (b"content-type", b"application/json")]}, receive)

"""Validate requests before FastAPI does: strict JSON with its content type, and known query parameters, each once."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from auth_common.errors import (
    FieldError,
    RequestTooLarge,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
    ValidationFailed,
)
from auth_common.strict_json import parse_strict_json
from auth_common.web.problems import unknown_parameters, validation_failure

#: The largest valid body is a WebAuthn attestation of a few KiB.
MAX_BODY_BYTES: Final = 64 * 1024


class StrictJSONRequest(Request):
    """A request whose body is parsed strictly."""

    async def json(self) -> Any:
        """Return the parsed body.

        Raises:
            json.JSONDecodeError: the body is not strict JSON. FastAPI makes a validation error of it.

        """
        body = await self.body()
        try:
            return parse_strict_json(body)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            message = "not strict JSON"
            raise json.JSONDecodeError(message, "", 0) from error


class StrictJSONRoute(APIRoute):
    """A route that reads its body through ``StrictJSONRequest`` and rejects query parameters that it does not declare.

    FastAPI ignores an unknown parameter. A misspelt ``keep_current`` would then revoke the caller's own session.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, which gets valid JSON and known parameters only."""
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        has_input = self.body_field is not None or bool(known)

        async def handle_strictly(request: Request) -> Response:
            if self.body_field is not None and not _is_json(request.headers.get("content-type", "")):
                raise UnsupportedMediaType
            if self.body_field is not None and is_encoded(request):
                raise UnsupportedContentEncoding
            if unknown := [name for name in request.query_params if name not in known]:
                # The function of a route without input may have no database to record the event in.
                raise unknown_parameters(unknown, is_recorded=has_input)
            if len(request.query_params.multi_items()) > len(request.query_params):
                # A proxy before this function may have used the first value. The framework uses the last (ASVS 15.3.7).
                raise ValidationFailed(FieldError("query", "has a parameter more than once"))
            strict_request = StrictJSONRequest(request.scope, request.receive)
            if len(await strict_request.body()) > MAX_BODY_BYTES:
                raise RequestTooLarge
            try:
                return await handle(strict_request)
            except RequestValidationError as error:
                # "from None": the text of FastAPI's error is the input, such as a password. No traceback may show it.
                raise validation_failure(error) from None

        return handle_strictly


def _query_names(dependant: Dependant) -> set[str]:
    """Return the names of the query parameters that an endpoint and its dependencies declare."""
    own = {field.alias for field in get_flat_params(Dependant(query_params=dependant.query_params))}
    return own.union(*map(_query_names, dependant.dependencies))


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def is_encoded(request: Request) -> bool:
    """Tell whether the body has a content coding other than ``identity`` (RFC 9110 section 8.4)."""
    codings = ",".join(request.headers.getlist("content-encoding")).split(",")
    return any(coding.strip().lower() not in {"", "identity"} for coding in codings)

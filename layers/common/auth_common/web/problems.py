"""Errors as RFC 9457 problem documents: one shape for every failure, nothing internal, no input repeated."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from auth_common.errors import FieldError, Misconfigured, NotFound, ServiceError, ValidationFailed
from auth_common.events import metrics, request_context
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event

PROBLEM_JSON: Final = "application/problem+json"

#: More faults than this in one body are noise, or somebody probing.
_MOST_ERRORS: Final = 20
_LONGEST_FIELD_NAME: Final = 64
#: RFC 9110's names where Python before 3.13 has older ones: clients must not see which Python answers.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


class ProblemResponse(JSONResponse):
    """A problem document. ``type`` is "about:blank": ``title`` is the status's name and ``code`` says the rest."""

    media_type = PROBLEM_JSON

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Build the document; the request id is the current request's."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(status, HTTPStatus(status).phrase),
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_context.get().request_id,
            **(members or {}),
        }
        if errors:
            document["errors"] = [{"field": error.field, "message": error.message} for error in errors]
        super().__init__(document, status_code=status, headers=dict(headers or {}))


async def on_service_error(_request: Request, error: ServiceError) -> ProblemResponse:
    """Answer an error of the domain."""
    if isinstance(error, ValidationFailed) and error.is_recorded:
        _record_bad_input(error)
    elif isinstance(error, ValidationFailed):
        metrics.count(SecurityEvent.INPUT_VALIDATION_FAIL)
    elif isinstance(error, Misconfigured):
        logger.critical("misconfigured", extra={"error": str(error) or error.detail})
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error(error.code, exc_info=error)
    return ProblemResponse(
        status=error.status,
        code=error.code,
        detail=error.detail,
        errors=error.errors,
        members=error.members,
        headers=error.headers,
    )


def _record_bad_input(error: ValidationFailed) -> None:
    # Here, since a function whose requests have neither body nor query needs no database.
    from auth_common.throttling.service import count_bad_input  # noqa: PLC0415

    if count_bad_input():
        security_event(
            SecurityEvent.INPUT_VALIDATION_FAIL, fields=[fault.field for fault in error.errors[:_MOST_ERRORS]]
        )
    else:
        metrics.count(SecurityEvent.INPUT_VALIDATION_FAIL)


async def on_http_exception(request: Request, error: HTTPException) -> ProblemResponse:
    """Answer what the framework itself refuses: an unknown path, a wrong method."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return await on_service_error(request, NotFound())
    status = HTTPStatus(error.status_code)
    headers = {"Allow": _methods_of(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return ProblemResponse(
        status=status, code=status.name.lower(), detail=f"{status.description or status.phrase}.", headers=headers
    )


def _methods_of(request: Request) -> str:
    """Return the methods of the request's path, for ``Allow``. Starlette names those of the first route only."""
    routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for route in routes for method in route.methods}))


async def on_unexpected(_request: Request, error: Exception) -> ProblemResponse:
    """Answer a bug of ours: the log gets everything, the client a request id."""
    logger.error("unhandled_exception", exc_info=error)
    return ProblemResponse(status=500, code=ServiceError.code, detail=ServiceError.detail)


_Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

EXCEPTION_HANDLERS: Final[dict[int | type[Exception], _Handler]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    Exception: on_unexpected,
}


def validation_failure(error: RequestValidationError) -> ValidationFailed:
    """Put the faults of a body or parameter that breaks its schema into words of ours."""
    # A default that follows from a faulty field is no second fault, and has no name that the client knows.
    faults = [fault for fault in error.errors() if fault["type"] != "default_factory_not_called"]
    return ValidationFailed(*(FieldError(_field(fault["loc"]), _message(fault)) for fault in faults[:_MOST_ERRORS]))


def unknown_parameters(names: Iterable[str], *, is_recorded: bool) -> ValidationFailed:
    """Return the error for query parameters that an endpoint does not declare.

    Args:
        names: decoded, as the client sent them.
        is_recorded: whether the audit log gets an event.

    """
    fields = list(dict.fromkeys(_field(("query", name)) for name in names))
    faults = (FieldError(field, "is not a parameter of this request") for field in fields[:_MOST_ERRORS])
    return ValidationFailed(*faults, is_recorded=is_recorded)


def _field(location: Sequence[str | int]) -> str:
    """Name the field as the client wrote it: ``("body", "email")`` is "email", the whole body is "body".

    The name of an unknown field is input too: one that could do harm where it is shown is not repeated.
    """
    name = ".".join(part for part in location[1:] if isinstance(part, str)) or str(location[0])
    harmless = name.isascii() and name.replace(".", "").replace("_", "").isalnum() and len(name) <= _LONGEST_FIELD_NAME
    return name if harmless else str(location[0])


def _message(fault: Mapping[str, Any]) -> str:
    """Put a fault into words that quote no input; pydantic's own texts for some kinds do."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return _MESSAGES.get(fault["type"], "is not valid")


#: A "+" in a query means a blank, so the zone of a time that is not encoded gets lost.
_NO_TIME: Final = "must be a time with a zone, such as 2026-01-31T09:30:00Z. In a URL, write + as %2B"
_MESSAGES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be a string",
    "string_too_long": "is too long",
    "too_long": "is too long",
    "json_invalid": "is not valid JSON",
    "model_attributes_type": "must be a JSON object",
    "datetime_from_date_parsing": _NO_TIME,
    "timezone_aware": _NO_TIME,
}

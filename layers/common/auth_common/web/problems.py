"""Errors as RFC 9457 problem documents. They show nothing internal and repeat no input."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from auth_common.errors import FieldError, Misconfigured, NotFound, ServiceError, ValidationFailed
from auth_common.events import metrics
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.web.problem_documents import PROBLEM_JSON, log_misconfiguration, problem_document

#: Of one response. More faults in one request are noise or an attack.
_MAX_FAULTS: Final = 20
_MAX_FIELD_NAME_CHARACTERS: Final = 64


class ProblemResponse(JSONResponse):
    """A response whose body is a problem document."""

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
        """Build the document with the id of the current request."""
        document = problem_document(status=status, code=code, detail=detail, errors=errors, members=members)
        super().__init__(document, status_code=status, headers=dict(headers or {}))


async def on_service_error(_request: Request, error: ServiceError) -> ProblemResponse:
    """Return the problem document of a domain error, and log or count it."""
    record_service_error(error)
    return ProblemResponse(
        status=error.status,
        code=error.code,
        detail=error.detail,
        errors=error.errors,
        members=error.members,
        headers=error.headers,
    )


def record_service_error(error: ServiceError) -> None:
    """Log or count a domain error."""
    if isinstance(error, ValidationFailed) and error.is_recorded:
        _record_bad_input(error)
    elif isinstance(error, ValidationFailed):
        metrics.count(SecurityEvent.INPUT_VALIDATION_FAIL)
    elif isinstance(error, Misconfigured):
        log_misconfiguration(error)
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error(error.code, exc_info=error)


def _record_bad_input(error: ValidationFailed) -> None:
    # Imported here, because a function without body and query parameters needs no database.
    from auth_common.throttling.service import count_bad_input  # noqa: PLC0415

    if count_bad_input():
        security_event(
            SecurityEvent.INPUT_VALIDATION_FAIL, fields=[fault.field for fault in error.errors[:_MAX_FAULTS]]
        )
    else:
        metrics.count(SecurityEvent.INPUT_VALIDATION_FAIL)


async def on_http_exception(request: Request, error: HTTPException) -> ProblemResponse:
    """Return the problem document for what the framework rejects: an unknown path or a wrong method."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return await on_service_error(request, NotFound())
    status = HTTPStatus(error.status_code)
    headers = {"Allow": _methods_of(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return ProblemResponse(
        status=status, code=status.name.lower(), detail=f"{status.description or status.phrase}.", headers=headers
    )


def _methods_of(request: Request) -> str:
    """Return the methods of the request's path, for ``Allow``. Starlette names only those of the first route."""
    routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for route in routes for method in route.methods}))


async def on_unexpected(_request: Request, error: Exception) -> ProblemResponse:
    """Return the problem document for a bug. The log gets the traceback, and the client only the request id."""
    logger.error("unhandled_exception", exc_info=error)
    return ProblemResponse(status=500, code=ServiceError.code, detail=ServiceError.detail)


_Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

EXCEPTION_HANDLERS: Final[dict[int | type[Exception], _Handler]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    Exception: on_unexpected,
}


def validation_failure(error: RequestValidationError) -> ValidationFailed:
    """Return the error for a body or parameters that break their schema, with texts of this module."""
    # If a default depends on a faulty field, pydantic reports a second fault under a name that no client knows.
    faults = [fault for fault in error.errors() if fault["type"] != "default_factory_not_called"]
    return ValidationFailed(*(FieldError(_field(fault["loc"]), _message(fault)) for fault in faults[:_MAX_FAULTS]))


def unknown_parameters(names: Iterable[str], *, is_recorded: bool) -> ValidationFailed:
    """Return the error for query parameters that an endpoint does not declare.

    Args:
        names: the names, decoded.
        is_recorded: whether the audit log gets a record.

    """
    fields = list(dict.fromkeys(_field(("query", name)) for name in names))
    faults = (FieldError(field, "is not a parameter of this request") for field in fields[:_MAX_FAULTS])
    return ValidationFailed(*faults, is_recorded=is_recorded)


def _field(location: Sequence[str | int]) -> str:
    """Return the name of a field: "email" for ``("body", "email")``, "body" for the whole body.

    The name of an unknown field is input. If it could do harm where it is shown, the name of its place is returned.
    """
    name = ".".join(part for part in location[1:] if isinstance(part, str)) or str(location[0])
    is_plain = name.isascii() and name.replace(".", "").replace("_", "").isalnum()
    return name if is_plain and len(name) <= _MAX_FIELD_NAME_CHARACTERS else str(location[0])


def _message(fault: Mapping[str, Any]) -> str:
    """Return a text that repeats no input. Some of pydantic's texts do."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return _MESSAGES.get(fault["type"], "is not valid")


#: In a query "+" is a blank, so a time zone such as +02:00 has to be encoded.
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

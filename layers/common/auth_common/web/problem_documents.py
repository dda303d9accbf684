"""The shape of a problem document (RFC 9457), for functions with and without FastAPI."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from auth_common.errors import FieldError, Misconfigured
from auth_common.events import request_context
from auth_common.events.logger import logger

PROBLEM_JSON: Final = "application/problem+json"

#: The names of RFC 9110, for which Python before 3.13 has older ones. No client may see the version of Python.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem_document(
    *,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a problem document with the id of the current request.

    ``type`` is "about:blank", so ``title`` is the name of the status. ``code`` is the error.
    """
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
    return document


def log_misconfiguration(error: Misconfigured) -> None:
    """Log which setting is wrong. The client does not see it."""
    logger.critical("misconfigured", extra={"error": str(error) or error.detail})

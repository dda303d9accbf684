"""``make docs``: docs/openapi.json, one OpenAPI document made of all functions.

FastAPI describes requests and answers from the code that handles them. What it cannot know is added here: which errors
an endpoint answers, who may call it, what leads where, and an example of each. The tests hold every answer that they
provoke to the document (tests/support/openapi.py), so an error that is missing here, or not true, is found there.
"""

import importlib
import json
import re
from pathlib import Path
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from auth_common import errors
from auth_common.errors import ServiceError
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.vocabulary import SecurityEvent
from auth_common.web.authorizer import PROTECTED_ROUTES
from auth_common.web.problems import ProblemResponse
from tools.docs.openapi_examples import EXAMPLES
from tools.docs.openapi_links import LINKS

_PROJECT: Final = Path(__file__).parents[2]

_DESCRIPTION: Final = """\
Registration, login by password and passkey (WebAuthn), tokens, sessions, user data and the audit log.

Every error is a problem document (RFC 9457) with a stable `code`. Every answer has `X-Request-Id`, which finds the \
request in the logs. See the README and docs/walkthrough.md."""

#: What each endpoint answers besides what all do.
_ERRORS: Final[dict[tuple[str, str], tuple[type[ServiceError], ...]]] = {
    ("POST", "/users"): (errors.EmailTaken, errors.TooManyAttempts),
    ("POST", "/login"): (errors.InvalidCredentials, errors.TooManyAttempts),
    ("POST", "/token/refresh"): (errors.InvalidRefreshToken, errors.TooManyAttempts),
    ("GET", "/users/{id}"): (errors.Forbidden, errors.NotFound),
    ("PUT", "/users/{id}/password"): (
        errors.InvalidCurrentPassword,
        errors.Forbidden,
        errors.NotFound,  # an id with a slash in it is no id but another path
        errors.StepUpRequired,
        errors.TooManyAttempts,
    ),
    ("POST", "/step-up"): (
        errors.InvalidChallenge,
        errors.InvalidCurrentPassword,
        errors.StepUpFailed,
        errors.StepUpPasswordRequired,
        errors.TooManyAttempts,
    ),
    ("DELETE", "/sessions"): (errors.StepUpRequired,),
    ("DELETE", "/sessions/{id}"): (errors.StepUpRequired, errors.NotFound),
    ("POST", "/webauthn/register/begin"): (
        errors.StepUpRequired,
        errors.TooManyPasskeys,
        errors.TooManyAttempts,
    ),
    ("POST", "/webauthn/register/complete"): (
        errors.InvalidChallenge,
        errors.PasskeyRejected,
        errors.StepUpRequired,
        errors.TooManyPasskeys,
        errors.TooManyAttempts,
    ),
    ("POST", "/webauthn/login/begin"): (errors.InvalidMFAToken, errors.TooManyAttempts),
    ("POST", "/webauthn/login/complete"): (
        errors.InvalidChallenge,
        errors.PasskeyLoginFailed,
        errors.PasswordRequired,
        errors.TooManyAttempts,
    ),
    ("PATCH", "/webauthn/credentials/{id}"): (errors.StepUpRequired, errors.NotFound),
    ("DELETE", "/webauthn/credentials/{id}"): (errors.StepUpRequired, errors.NotFound),
    ("GET", "/audit/events"): (errors.Forbidden, errors.PasskeyLoginRequired),
    ("GET", "/audit/summary"): (errors.Forbidden, errors.PasskeyLoginRequired),
}
_WITH_BODY: Final = (errors.UnsupportedMediaType, errors.UnsupportedContentEncoding, errors.RequestTooLarge)
#: The last one in the local stage only.
_ALWAYS: Final = (errors.ValidationFailed, ServiceError, errors.ServiceUnavailable, errors.StorageNotMounted)
#: A header field in the manner of OpenAPI, without "required".
_Header = dict[str, Any]


def _constant(value: str) -> _Header:
    return {"schema": {"type": "string", "const": value}, "example": value}


def _matching(pattern: str, example: str) -> _Header:
    return {"schema": {"type": "string", "pattern": f"^{pattern}$"}, "example": example}


_LIMIT: Final = f'"({"|".join(sorted(CATALOGUE[SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED].reasons))})"'
#: Header fields of errors whose values depend on the request.
_ERROR_HEADERS: Final[dict[type[ServiceError], dict[str, _Header]]] = {
    errors.TooManyAttempts: {
        "Retry-After": _matching("[0-9]+", "30"),
        "RateLimit": _matching(f"{_LIMIT};r=0;t=[0-9]+", '"login_source";r=0;t=30'),
        "RateLimit-Policy": _matching(f"{_LIMIT};q=[0-9]+;w=[0-9]+", '"login_source";q=100;w=3600'),
    }
}
#: By operation and status: header fields of successes, besides those of every response.
_SUCCESS_HEADERS: Final[dict[tuple[str, str], dict[str, _Header]]] = {
    # Relative to the request's URL (RFC 9110 section 10.2.2).
    ("register", "201"): {"Location": _matching("users/[0-9a-f-]{36}", "users/3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e")},
    ("log_out", "204"): {"Clear-Site-Data": _constant('"storage"')},
    # If the caller's own session is among the revoked ones.
    ("delete_sessions", "204"): {"Clear-Site-Data": _constant('"storage"') | {"required": False}},
    ("delete_session", "204"): {"Clear-Site-Data": _constant('"storage"') | {"required": False}},
    ("jwks", "200"): {"Cache-Control": _constant("public, max-age=300")},
    ("head_jwks", "200"): {"Cache-Control": _constant("public, max-age=300")},
}
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def document() -> dict[str, Any]:
    """Return the document."""
    routes = [
        route
        for folder in sorted((_PROJECT / "functions").iterdir())
        for route in getattr(importlib.import_module(f"functions.{folder.name}.app"), "app", _NO_APP).routes
        if isinstance(route, APIRoute)
    ]
    made = get_openapi(title="Secure Backend", version="0.1.0", description=_DESCRIPTION, routes=routes)
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which we never answer
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    made["components"]["securitySchemes"] = {
        "accessToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` of a login or a refresh (RFC 9068, ES256), for 15 minutes.",
        }
    }
    made["info"]["license"] = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
    made["servers"] = [
        {
            "url": "{base}",
            "variables": {
                "base": {
                    "default": "http://localhost:8000",
                    "description": "`make run`. `make sam` serves http://localhost:3000. On AWS it is the output "
                    "`ApiUrl` of the stack.",
                }
            },
        }
    ]
    for route in routes:
        for method in route.methods or ():
            _complete(made["paths"][route.path_format][method.lower()], route, method)
    return made


def text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


class _NoApp:
    """A function that answers no request."""

    routes: tuple[APIRoute, ...] = ()


_NO_APP: Final = _NoApp()


def _complete(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    """Add what FastAPI cannot know of an operation."""
    operation["operationId"] = route.name
    operation["tags"] = [route.path_format.split("/")[1].removeprefix(".")]
    is_protected = f"{method}{re.sub('{.*?}', '*', route.path_format)}" in PROTECTED_ROUTES
    operation["security"] = [{"accessToken": []}] if is_protected else []
    for parameter in operation.get("parameters", []):
        _drop_null(parameter["schema"])
    answers = operation["responses"]
    answers.pop("422", None)
    raised = [
        *((errors.InvalidToken,) if is_protected else ()),
        *_ERRORS.get((method, route.path_format), ()),
        *(_WITH_BODY if "requestBody" in operation else ()),
        *_ALWAYS,
    ]
    for status in sorted({error.status for error in raised}):
        answers[str(status)] = _problem_response([error for error in raised if error.status == status])
    for (name, status), headers in _SUCCESS_HEADERS.items():
        if name == route.name:
            answers[status]["headers"] = {field: {"required": True, **header} for field, header in headers.items()}
    if operation["operationId"] in LINKS:
        status, links = LINKS[operation["operationId"]]
        answers[status]["links"] = links
    if method == "HEAD":
        for answer in answers.values():
            answer.pop("content", None)
    _add_examples(operation)


def _add_examples(operation: dict[str, Any]) -> None:
    """Add an example of the request and of each success."""
    example = EXAMPLES.get(operation["operationId"], {})
    if "request" in example:
        operation["requestBody"]["content"][_JSON]["examples"] = example["request"]
    for status, answer in operation["responses"].items():
        for media_type in answer.get("content", {}):
            if media_type != _PROBLEM and "response" in example:
                answer["content"][media_type]["examples"] = example.get(status, example["response"])


def _drop_null(schema: dict[str, Any]) -> None:
    """Take back what FastAPI makes of a default of ``None``: a parameter can be left out, but a URL knows no null."""
    if {"type": "null"} in schema.get("anyOf", ()):
        (kind,) = (kind for kind in schema.pop("anyOf") if kind != {"type": "null"})
        schema.update(kind)


def _problem_response(raised: list[type[ServiceError]]) -> dict[str, Any]:
    return {
        "description": " Or: ".join(str(error.detail) for error in raised),
        "content": {
            _PROBLEM: {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/Problem"}],
                    "properties": {"code": {"enum": sorted({error.code for error in raised})}},
                },
                "examples": {error.code: {"value": _problem_example(error)} for error in raised},
            }
        },
        "headers": _error_headers(raised),
    }


def _error_headers(raised: list[type[ServiceError]]) -> dict[str, _Header]:
    """Return the header fields of errors with one status. Required are those that each of the errors has."""
    by_error = [
        {name: _constant(value) for name, value in error.headers.items()} | _ERROR_HEADERS.get(error, {})
        for error in raised
    ]
    return {
        name: {"required": all(name in each for each in by_error), **header}
        for headers in by_error
        for name, header in headers.items()
    }


def _problem_example(error: type[ServiceError]) -> dict[str, Any]:
    faults = [errors.FieldError("password", "is required")] if error is errors.ValidationFailed else []
    members = {"methods": ["webauthn"]} if issubclass(error, errors.StepUpRequired) else {}
    response = ProblemResponse(
        status=error.status, code=error.code, detail=str(error.detail), errors=faults, members=members
    )
    example: dict[str, Any] = json.loads(bytes(response.body))
    return example | {"request_id": "0f6a2c9e-1b1d-4a3f-9a65-6b1f0f3c2d11"}


_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457. Compare `code`, not the texts.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z_]+$"},
        "request_id": {"type": "string"},
        "methods": {
            "description": "Of `step_up_required`: the proofs that open the request.",
            "type": "array",
            "items": {"enum": ["webauthn", "password"]},
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "additionalProperties": False,
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "additionalProperties": False,
}

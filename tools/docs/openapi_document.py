"""``make docs``: docs/openapi.json, one OpenAPI document made of all functions.

FastAPI describes requests and responses from the code that handles them. This module adds what follows from the
endpoint declarations (``auth_common.web.endpoint``): the responses of each error, examples and links. The tests compare
every response that they get with the document (tests/support/openapi.py), so they find a missing or a wrong error.
"""

import importlib
import json
from pathlib import Path
from typing import Any, Final

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from auth_common import errors
from auth_common.errors import ServiceError
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.vocabulary import SecurityEvent
from auth_common.web.endpoint import ACCESS_TOKEN, BEARER, CLIENT_SECRET, DECLARED_ERRORS, header
from auth_common.web.oauth import FormRoute, OAuthErrorResponse, oauth_response
from auth_common.web.problems import ProblemResponse
from local_runtime.template import load_template
from tools.docs.openapi_examples import add_examples
from tools.docs.openapi_links import add_links
from tools.release.version import read_version

_PROJECT: Final = Path(__file__).parents[2]

_DESCRIPTION: Final = """\
Registration, login by password and passkey (WebAuthn), tokens, sessions, user data and the audit log.

Every error is a problem document (RFC 9457) with a stable `code`. On the routes of OAuth, which accept forms, it has \
a stable `error` as in RFC 6749. Every response has `X-Request-Id`, which finds the request in the logs. \
See docs/api.md and docs/walkthrough.md."""

#: Errors that an operation needs not declare: of those with a body, and of all. The last one is local only.
_WITH_BODY: Final = (errors.UnsupportedMediaType, errors.UnsupportedContentEncoding, errors.RequestTooLarge)
_ALWAYS: Final = (errors.ValidationFailed, ServiceError, errors.ServiceUnavailable, errors.StorageNotMounted)
SHARED_ERRORS: Final = (*_WITH_BODY, *_ALWAYS)
_WITH_FORM: Final = (errors.InvalidRequest, errors.UnsupportedContentEncoding, errors.RequestTooLarge)
_LIMIT: Final = f'"({"|".join(sorted(CATALOGUE[SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED].reasons))})"'
#: Header fields of errors whose values depend on the request.
_ERROR_HEADERS: Final[dict[type[ServiceError], dict[str, Any]]] = {
    errors.TooManyAttempts: {
        "Retry-After": header(pattern="[0-9]+", example="30"),
        "RateLimit": header(pattern=f"{_LIMIT};r=0;t=[0-9]+", example='"login_source";r=0;t=30'),
        "RateLimit-Policy": header(pattern=f"{_LIMIT};q=[0-9]+;w=[0-9]+", example='"login_source";q=100;w=3600'),
    }
}
_PROBLEM: Final = "application/problem+json"
_REQUEST_ID: Final = "0f6a2c9e-1b1d-4a3f-9a65-6b1f0f3c2d11"
_LIMIT_EXAMPLE: Final[dict[str, Any]] = {"limit": "refresh_source", "quota": 100, "window": 3600, "retry_after": 30}


def document() -> dict[str, Any]:
    """Return the document."""
    endpoints = (each for each in load_template(_PROJECT / "template.yaml").routes if each.method != "OPTIONS")
    functions = dict.fromkeys(endpoint.function.folder.name for endpoint in endpoints)
    routes = [
        route
        for name in functions
        for route in importlib.import_module(f"functions.{name}.app").app.routes
        if isinstance(route, APIRoute)
    ]
    made = get_openapi(title="Secure Backend", version=read_version(), description=_DESCRIPTION, routes=routes)
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no endpoint returns
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    schemas["OAuthError"] = _OAUTH_ERROR_SCHEMA
    made["components"]["securitySchemes"] = {
        ACCESS_TOKEN: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` of a login or a refresh (RFC 9068, ES256), for 15 minutes.",
        },
        CLIENT_SECRET: {
            "type": "http",
            "scheme": "basic",
            "description": "The `client_id` and the `client_secret` of a registered service (RFC 6749 section 2.3.1). "
            "The request may have them in its body instead, or a signed assertion (RFC 7523).",
        },
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
    add_examples(made)
    for route in routes:
        if isinstance(route, FormRoute):
            _describe_form(made["paths"][route.path_format]["post"], schemas)
    add_links(made)
    return made


def text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _complete(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    """Add what FastAPI does not know of an operation."""
    operation["operationId"] = route.name
    operation["tags"] = [route.path_format.split("/")[1].removeprefix(".")]
    for parameter in operation.get("parameters", []):
        _drop_null(parameter["schema"])
    responses = operation["responses"]
    responses.pop("422", None)
    is_form = isinstance(route, FormRoute)
    raised = [
        *((errors.InvalidToken,) if operation["security"] == BEARER else ()),
        *(getattr(errors, name) for name in operation.pop(DECLARED_ERRORS)),
        *(_WITH_FORM if is_form else _WITH_BODY if "requestBody" in operation else ()),
        *_ALWAYS,
    ]
    by_status: dict[int, list[type[ServiceError]]] = {}
    for error in raised:
        by_status.setdefault(oauth_response(error)[0] if is_form else error.status, []).append(error)
    for status, each in sorted(by_status.items()):
        responses[str(status)] = _oauth_error_response(each) if is_form else _problem_response(each)
    if method == "HEAD":
        for response in responses.values():
            response.pop("content", None)


def _describe_form(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Remove null from the fields of a form, which can be absent but not null."""
    (content,) = operation["requestBody"]["content"].values()
    for field in schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"].values():
        _drop_null(field)
        field.pop("default", None)
        if field.get("examples") == [None]:
            del field["examples"]


def _drop_null(schema: dict[str, Any]) -> None:
    """Remove null, which FastAPI adds for a default of ``None``: a parameter can be absent, but a URL has no null."""
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


def _oauth_error_response(raised: list[type[ServiceError]]) -> dict[str, Any]:
    """Return the response of a route of OAuth, in which several errors have one name."""
    names = {oauth_response(error)[1]: error for error in reversed(raised)}
    return {
        "description": " Or: ".join(dict.fromkeys(str(error.detail) for error in raised)),
        "content": {
            "application/json": {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/OAuthError"}],
                    "properties": {"error": {"enum": sorted(names)}},
                },
                "examples": {name: {"value": _oauth_error_example(error)} for name, error in sorted(names.items())},
            }
        },
        "headers": _error_headers(raised),
    }


def _oauth_error_example(error: type[ServiceError]) -> dict[str, Any]:
    # The error of a rate limit has no values without a request.
    made = error(**_LIMIT_EXAMPLE) if issubclass(error, errors.TooManyAttempts) else error()
    example: dict[str, Any] = json.loads(bytes(OAuthErrorResponse(made).body))
    return example | {"request_id": _REQUEST_ID}


def _error_headers(raised: list[type[ServiceError]]) -> dict[str, Any]:
    """Return the header fields of errors with one status. A field is required if each of the errors has it."""
    by_error = [
        {name: header(value=value) for name, value in error.headers.items()} | _ERROR_HEADERS.get(error, {})
        for error in raised
    ]
    return {
        name: {**field, "required": all(name in each for each in by_error)}
        for headers in by_error
        for name, field in headers.items()
    }


def _problem_example(error: type[ServiceError]) -> dict[str, Any]:
    faults = [errors.FieldError("password", "is required")] if error is errors.ValidationFailed else []
    members = {"methods": ["webauthn"]} if issubclass(error, errors.StepUpRequired) else {}
    response = ProblemResponse(
        status=error.status, code=error.code, detail=str(error.detail), errors=faults, members=members
    )
    example: dict[str, Any] = json.loads(bytes(response.body))
    return example | {"request_id": _REQUEST_ID}


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

_OAUTH_ERROR_SCHEMA: Final[dict[str, Any]] = {
    "title": "OAuthError",
    "description": "RFC 6749, section 5.2. Compare `error`, not the text.",
    "type": "object",
    "required": ["error", "error_description", "request_id"],
    "properties": {
        "error": {"type": "string", "pattern": "^[a-z_]+$"},
        "error_description": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "additionalProperties": False,
}

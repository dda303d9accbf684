"""Call the functions as API Gateway does, and compare each response with the contract and docs/openapi.json."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import jwt

from auth_common.events.invocation import LambdaHandler
from tests.support import leaks
from tests.support.events import authorizer_event, lambda_context
from tests.support.openapi import check_response, is_documented

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
OPTIONAL_PROBLEM_MEMBERS = {"errors", "methods"}
#: Of the errors on the routes of OAuth (RFC 6749 section 5.2).
OAUTH_ERROR_MEMBERS = {"error", "error_description", "request_id"}


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a function. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The ``code`` of a problem document, or the ``error`` of a route of OAuth."""
        document = self.json
        code: str = document["code"] if "code" in document else document["error"]
        return code

    @property
    def fields(self) -> set[str]:
        """The names of the fields that a validation problem rejects."""
        return {error["field"] for error in self.json["errors"]}


def call(function: str, event: dict[str, Any], *, is_routed: bool = True) -> Response:
    """Call ``functions/<function>`` with a proxy event, and compare the response with the OpenAPI document.

    Args:
        function: Name of the folder.
        event: A proxy event.
        is_routed: Whether template.yaml has a route for the event. Without one, the function must return 404 or 405.

    """
    response = call_handler(importlib.import_module(f"functions.{function}.app").handler, event, function=function)
    operation = {"method": event["httpMethod"], "resource": event["resource"]}
    if is_routed:
        check_response(**operation, status=response.status, headers=response.headers, text=response.text)
    else:
        assert not is_documented(**operation)
        assert response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    return response


def call_handler(handler: LambdaHandler, event: dict[str, Any], *, function: str = "under-test") -> Response:
    """Call a handler, for example one that ``create_handler`` made from an application of a test."""
    leaks.remember(*_secrets_of(event))
    returned = handler(event, lambda_context(function))
    response = Response(returned["statusCode"], returned["headers"], returned["body"])
    if response.text and response.headers["content-type"] != "text/plain; charset=utf-8":
        leaks.remember(*leaks.secrets_in(response.json))
        _keep_step_up_token(response.json)
    _check_contract(response, event)
    return response


def authorize(token: str, **options: str) -> dict[str, Any]:
    """Call the authorizer with a bearer token and return its response."""
    leaks.remember(token)
    return call_authorizer(authorizer_event(f"Bearer {token}", **options))


def call_authorizer(event: dict[str, Any]) -> dict[str, Any]:
    """Call the authorizer with an event and return its response."""
    handler = importlib.import_module("functions.authorizer.app").handler
    policy: dict[str, Any] = handler(event, lambda_context("authorizer"))
    return policy


def kid_of(token: str) -> str:
    """Return the id of the key that signed a token."""
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def step_up_token_of(access_token: str) -> str | None:
    """Return the newest step-up token that was issued for an access token. Return None if there is none."""
    return _step_up_tokens.get(access_token)


def remember_step_up(access_token: str, step_up_token: str) -> None:
    """Store the step-up token that was issued for an access token, for later requests with the access token."""
    _step_up_tokens[access_token] = step_up_token


_step_up_tokens: dict[str, str] = {}


def _keep_step_up_token(body: Any) -> None:
    if isinstance(body, dict) and {"access_token", "step_up_token"} <= body.keys():
        remember_step_up(body["access_token"], body["step_up_token"])


def _secrets_of(event: dict[str, Any]) -> list[str]:
    try:
        return list(leaks.secrets_in(json.loads(event["body"] or "null")))
    except (ValueError, RecursionError):
        return []


def _check_contract(response: Response, event: dict[str, Any]) -> None:
    """Check the headers that every response has, and the form of every error.

    Errors are problem documents (RFC 9457), and on the routes of OAuth responses of RFC 6749.
    """
    headers = response.headers
    request_id = event["requestContext"]["requestId"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"].endswith("; sandbox")
    assert not headers.keys() & {"set-cookie", "server", "x-powered-by"}
    assert headers["vary"] == "Origin"
    origin = (event["headers"] or {}).get("Origin")
    assert headers.get("access-control-allow-origin", origin) == origin
    assert "access-control-allow-credentials" not in headers
    assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
    assert headers["x-request-id"] == request_id
    if response.status < HTTPStatus.BAD_REQUEST:
        assert "cache-control" in headers
        return
    assert headers["cache-control"] == "no-store"
    if event["httpMethod"] == "HEAD":
        assert headers["content-type"] == "application/problem+json"
        assert response.text == ""
        return
    problem = response.json
    if headers["content-type"] == "application/json":
        assert problem.keys() == OAUTH_ERROR_MEMBERS
        assert problem["request_id"] == request_id
        return
    assert headers["content-type"] == "application/problem+json"
    assert problem.keys() - OPTIONAL_PROBLEM_MEMBERS == PROBLEM_MEMBERS
    assert ("methods" in problem) is (problem["code"] == "step_up_required")
    assert problem["status"] == response.status
    assert problem["request_id"] == request_id
    assert all(error.keys() == {"field", "message"} for error in problem.get("errors", []))


def outcome(response: Response) -> tuple[int, str]:
    """Return the status and the error code of a response."""
    return response.status, response.code

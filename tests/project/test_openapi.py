"""docs/openapi.json is complete and valid.

tests/support/openapi.py also compares the responses in all tests with the document.
"""

import json
import os
import shutil
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from auth_common.passwords.policy import MAX_LENGTH, MIN_LENGTH
from tests.support.openapi import DOCUMENT, check_response
from tests.support.requirements import require
from tests.support.routes import OPEN_ROUTES, ROUTES
from tests.support.runtime import run_command

pytestmark = [pytest.mark.docs, pytest.mark.web]

METHODS = {"get", "head", "post", "patch", "put", "delete"}
#: Of a client that does not use HTTP Basic.
CREDENTIALS = ("client_id", "client_secret", "client_assertion_type", "client_assertion")
SAVED = json.loads(DOCUMENT.read_text())
OPERATIONS = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, item in SAVED["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
each_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)


def test_document_has_the_routes_of_the_template():
    routed = {(route.path, route.method.lower()) for route in ROUTES}
    assert {tuple(operation.values[:2]) for operation in OPERATIONS} == routed
    names = [operation.id for operation in OPERATIONS]
    assert len({*names}) == len(names)


@pytest.mark.asvs("13.4.6")
@each_operation
def test_operation_documents_callers_and_errors(path, method, operation):
    is_open = (method.upper(), path) in OPEN_ROUTES
    required: dict[str, list[str]] = {"accessToken": []}
    # A login accepts the access token of the session that it replaces.
    with_optional = {"/login", "/webauthn/login/complete", "/email/verify"}
    for_anyone = [{}, required] if path in with_optional else []
    # A client may have its credentials in the body instead of the header.
    for_anyone = [{"clientSecret": []}, {}] if path in {"/token", "/introspect"} else for_anyone
    assert operation["security"] == (for_anyone if is_open else [required])
    assert operation["description"]
    assert operation["responses"].keys() >= {"500", "503"} | (set() if is_open else {"401"})
    assert "HTTPValidationError" not in json.dumps(operation)
    # An optional parameter may be left out, but must not be null.
    assert not any("null" in json.dumps(parameter["schema"]) for parameter in operation.get("parameters", []))


@pytest.mark.asvs("14.2.1")
@each_operation
def test_urls_have_no_parameter_for_a_secret(path, method, operation):
    """ASVS 14.2.1: URLs are stored in histories and logs, so secrets are sent in headers and bodies only."""
    identifiers = {"id", "user_id", "ip", "cursor"}
    filters = {"from", "to", "event", "outcome", "severity", "reason", "except_reason", "keep_current"}
    parameters = operation.get("parameters", [])
    in_url = {parameter["name"] for parameter in parameters if parameter["in"] in {"path", "query"}}
    assert in_url <= identifiers | filters
    assert {parameter["name"] for parameter in parameters} - in_url <= {"Step-Up-Token", "Accept-Language"}
    assert SAVED["components"]["securitySchemes"]["accessToken"]["scheme"] == "bearer"


@pytest.mark.asvs("6.4.2")
def test_requests_have_only_reviewed_fields():
    """ASVS 5.0 6.4.2: no password hints and no secret questions. Review a new field, then add it here."""
    schemas = SAVED["components"]["schemas"]
    fields = {name: set(schema["properties"]) for name, schema in schemas.items() if name.endswith("Request")}
    reviewed = {
        "RegistrationRequest": {"name", "email", "date_of_birth", "job_title", "password", "address_token"},
        "LoginRequest": {"email", "password", "resource"},
        "ChangePasswordRequest": {"current_password", "new_password"},
        "EmailVerificationRequest": {"token", "email", "code", "password"},
        "EmailChangeRequest": {"new_email"},
        "VerificationMailRequest": {"email"},
        "PasswordResetRequest": {"email"},
        "PasswordResetCompletionRequest": {"token", "new_password"},
        "SecureAccountRequest": {"token"},
        "RevocationRequest": {"token", "token_type_hint"},
        "IntrospectionRequest": {"token", "token_type_hint", *CREDENTIALS},
        "StepUpRequest": {"current_password", "challenge_id", "credential"},
        "TokenRequest": {
            *CREDENTIALS,
            *("grant_type", "scope", "resource"),
        },
    }
    assert {name: fields.pop(name) for name in reviewed} == reviewed
    assert set().union(*fields.values()) == {
        "refresh_token",
        "mfa_token",
        "challenge_id",
        "credential",
        "name",
        "resource",
    }


def test_ids_and_dates_have_their_formats():
    """Code generators make types from the formats."""
    parameters = [
        parameter
        for item in SAVED["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path" or parameter["name"].endswith("_id")
    ]
    assert {(each["schema"].get("type"), each["schema"].get("format")) for each in parameters} == {("string", "uuid")}
    formats = {
        (name, kind.get("type"), kind.get("format"))
        for component in SAVED["components"]["schemas"].values()
        for name, schema in component.get("properties", {}).items()
        if name in {"date_of_birth", "challenge_id"}
        for kind in schema.get("anyOf", [schema])
        if kind != {"type": "null"}
    }
    # The challenge of a login is a signed token, so its id is not a UUID.
    assert formats == {("date_of_birth", "string", "date"), ("challenge_id", "string", None)}


def test_limits_of_a_new_password_are_those_of_the_policy():
    fields = {
        "RegistrationRequest": "password",
        "ChangePasswordRequest": "new_password",
        "PasswordResetCompletionRequest": "new_password",
    }
    for name, field in fields.items():
        schema = SAVED["components"]["schemas"][name]["properties"][field]
        assert (schema["minLength"], schema["maxLength"]) == (MIN_LENGTH, MAX_LENGTH)


@pytest.mark.thorough
def test_redocly_lint_reports_no_problem():
    require(shutil.which("npm"), "needs Node.js and npm")
    command = ["npm", "exec", "--yes", "--package=@redocly/cli@2.77.0", "--", "redocly", "lint", str(DOCUMENT)]
    quiet = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = run_command(*command, "--format=json", env=quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    # The success of two operations is a redirect: GET and HEAD /.well-known/change-password.
    problems = ["Operation must have at least one `2XX` response."] * 2
    assert [problem["message"] for problem in json.loads(done.stdout)["problems"]] == problems


@each_operation
def test_examples_are_valid_and_links_name_existing_inputs(path, method, operation):
    responses = operation["responses"].values()
    bodies = [operation.get("requestBody", {}), *responses]
    for content in (content for body in bodies for content in body.get("content", {}).values()):
        schema: dict[str, Any] = {**content["schema"], "components": SAVED["components"]}
        assert content["examples"] != {}
        for example in content["examples"].values():
            assert list(Draft202012Validator(schema).iter_errors(example["value"])) == []
    targets = {each["operationId"]: each for item in SAVED["paths"].values() for each in item.values()}
    for link in (link for response in responses for link in response.get("links", {}).values()):
        target = targets[link["operationId"]]
        assert link.get("parameters", {}).keys() <= {parameter["name"] for parameter in target.get("parameters", [])}
        if "requestBody" in link:
            reference = target["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            fields = SAVED["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
            assert link["requestBody"].keys() <= fields.keys()


@pytest.mark.asvs("4.1.1", "8.2.3", "15.3.1")
@pytest.mark.parametrize(
    ("changes", "headers", "fault"),
    [
        ({"resource": "/users/{id}/friends"}, {}, "lacks GET /users/{id}/friends"),
        ({"method": "DELETE"}, {}, "lacks DELETE /health"),
        ({"status": 418}, {}, "lacks this status"),
        ({"text": '{"status":"fine"}'}, {}, "['status']"),
        ({}, {"content-type": "text/html"}, "text/html"),
        ({}, {"x-powered-by": "us"}, "x-powered-by"),
        ({}, {"cache-control": "max-age=60"}, "cache-control"),
        ({"status": 503}, {}, "retry-after"),
        ({"status": 503}, {"retry-after": "soon"}, "retry-after: soon"),
    ],
)
def test_response_check_finds_undocumented_responses(changes, headers, fault):
    documented: dict[str, Any] = {"method": "GET", "resource": "/health", "status": 200, "text": '{"status":"ok"}'}
    usual = {"content-type": "application/json", "cache-control": "no-store"}
    check_response(**documented, headers=usual)
    with pytest.raises(AssertionError) as raised:
        check_response(**documented | changes, headers=usual | headers)
    assert fault in str(raised.value)

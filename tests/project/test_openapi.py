"""docs/openapi.json: true, whole, and valid. Each answer of each test is held to it too (tests/support/openapi.py)."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from auth_common.security.password_policy import LONGEST, SHORTEST
from tests.support.openapi import DOCUMENT, check_answer
from tests.support.requirements import require
from tests.support.routes import OPEN_ROUTES, ROUTES

pytestmark = [pytest.mark.docs, pytest.mark.web]

METHODS = {"get", "head", "post", "patch", "put", "delete"}
SAVED = json.loads(DOCUMENT.read_text())
OPERATIONS = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, item in SAVED["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
each_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)


def test_the_document_has_the_routes_of_the_template_and_no_other():
    routed = {(route.path, route.method.lower()) for route in ROUTES}
    assert {tuple(operation.values[:2]) for operation in OPERATIONS} == routed


@each_operation
def test_an_operation_says_who_may_call_it(path, method, operation):
    is_open = (method.upper(), path) in OPEN_ROUTES
    assert operation["security"] == ([] if is_open else [{"accessToken": []}])
    assert is_open or "401" in operation["responses"]


@each_operation
def test_an_operation_has_a_name_of_its_own_and_says_what_it_does(path, method, operation):
    names = [each["operationId"] for item in SAVED["paths"].values() for each in item.values()]
    assert names.count(operation["operationId"]) == 1
    assert operation["description"]


@pytest.mark.asvs("14.2.1")
@each_operation
def test_no_secret_has_a_place_in_a_url(path, method, operation):
    """ASVS 14.2.1: URLs end up in histories and in logs. Tokens are in a header, and passwords and tokens in bodies."""
    identifiers = {"id", "user_id", "ip", "cursor"}
    filters = {"from", "to", "event", "outcome", "severity", "reason", "except_reason", "keep_current"}
    parameters = operation.get("parameters", [])
    in_url = {parameter["name"] for parameter in parameters if parameter["in"] in {"path", "query"}}
    assert in_url <= identifiers | filters
    assert {parameter["name"] for parameter in parameters} - in_url <= {"Step-Up-Token"}
    assert SAVED["components"]["securitySchemes"]["accessToken"]["scheme"] == "bearer"


@pytest.mark.asvs("6.4.2")
def test_no_request_has_a_field_for_a_hint_or_a_secret_question():
    """ASVS 5.0 6.4.2. A new field has to be put here, by somebody who looks at it."""
    schemas = SAVED["components"]["schemas"]
    fields = {name: set(schema["properties"]) for name, schema in schemas.items() if name.endswith("Request")}
    of_passkeys = {"mfa_token", "challenge_id", "credential", "name"}
    assert fields.pop("RegistrationRequest") == {"name", "email", "date_of_birth", "job_title", "password"}
    assert fields.pop("LoginRequest") == {"email", "password"}
    assert fields.pop("ChangePasswordRequest") == {"current_password", "new_password"}
    assert fields.pop("StepUpRequest") == {"current_password", "challenge_id", "credential"}
    assert set().union(*fields.values()) == {"refresh_token", *of_passkeys}


def test_ids_and_dates_have_their_formats():
    """Code generators make types of them."""
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
    # The challenge of a login is signed, so its id is no UUID.
    assert formats == {("date_of_birth", "string", "date"), ("challenge_id", "string", None)}


def test_limits_of_a_new_password_are_those_of_the_policy():
    schemas = SAVED["components"]["schemas"]
    registration = schemas["RegistrationRequest"]["properties"]["password"]
    change = schemas["ChangePasswordRequest"]["properties"]["new_password"]
    for schema in (registration, change):
        assert (schema["minLength"], schema["maxLength"]) == (SHORTEST, LONGEST)


@pytest.mark.thorough
def test_redocly_has_no_complaint():
    require(shutil.which("npm"), "needs Node.js and npm")
    command = ["npm", "exec", "--yes", "--package=@redocly/cli@2.77.0", "--", "redocly", "lint", str(DOCUMENT)]
    quiet = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    run = subprocess.run([*command, "--format=json"], env=quiet, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [problem["message"] for problem in json.loads(run.stdout)["problems"]] == []


@each_operation
def test_each_example_is_valid_for_its_schema(path, method, operation):
    contents = [*operation.get("requestBody", {}).get("content", {}).values()]
    for answer in operation["responses"].values():
        contents += answer.get("content", {}).values()
    for content in contents:
        schema: dict[str, Any] = {**content["schema"], "components": SAVED["components"]}
        assert content["examples"] != {}
        for example in content["examples"].values():
            assert list(Draft202012Validator(schema).iter_errors(example["value"])) == []


@each_operation
def test_each_link_leads_to_inputs_that_the_other_operation_has(path, method, operation):
    targets = {each["operationId"]: each for item in SAVED["paths"].values() for each in item.values()}
    links = [link for answer in operation["responses"].values() for link in answer.get("links", {}).values()]
    for link in links:
        target = targets[link["operationId"]]
        assert link.get("parameters", {}).keys() <= {parameter["name"] for parameter in target.get("parameters", [])}
        if "requestBody" in link:
            reference = target["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            fields = SAVED["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
            assert link["requestBody"].keys() <= fields.keys()


@each_operation
def test_a_parameter_that_may_be_left_out_is_not_null(path, method, operation):
    assert not any("null" in json.dumps(parameter["schema"]) for parameter in operation.get("parameters", []))


@pytest.mark.asvs("13.4.6")
@each_operation
def test_nothing_of_frameworks_is_in_an_answer(path, method, operation):
    text = json.dumps(operation)
    assert "HTTPValidationError" not in text
    assert {status for status in operation["responses"] if int(status) >= 400} >= {"500", "503"}


@pytest.mark.asvs("4.1.1", "8.2.3", "15.3.1")
@pytest.mark.parametrize(
    ("changes", "headers", "fault"),
    [
        ({"resource": "/users/{id}/friends"}, {}, "does not know GET /users/{id}/friends"),
        ({"method": "DELETE"}, {}, "does not know DELETE /health"),
        ({"status": 418}, {}, "does not know this status"),
        ({"text": '{"status":"fine"}'}, {}, "$.status"),
        ({}, {"content-type": "text/html"}, "text/html"),
        ({}, {"x-powered-by": "us"}, "x-powered-by"),
        ({}, {"cache-control": "max-age=60"}, "cache-control"),
        ({"status": 503}, {}, "retry-after"),
        ({"status": 503}, {"retry-after": "soon"}, "retry-after: soon"),
    ],
)
def test_the_check_finds_what_the_document_does_not_say(changes, headers, fault):
    documented: dict[str, Any] = {"method": "GET", "resource": "/health", "status": 200, "text": '{"status":"ok"}'}
    usual = {"content-type": "application/json", "cache-control": "no-store"}
    check_answer(**documented, headers=usual)
    with pytest.raises(AssertionError) as raised:
        check_answer(**documented | changes, headers=usual | headers)
    assert fault in str(raised.value)

import json

import pytest

from local_runtime.cloudformation import TemplateError
from local_runtime.gateway_responses import Failure, GatewayResponses
from local_runtime.template import load_template
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.local_runtime

CONTEXT = {"requestId": "the-id", "httpMethod": "GET", "identity": {"sourceIp": "127.0.0.1"}}

HEADERS = {
    "content-type": "'text/plain'",
    "WWW-Authenticate": "'Bearer error=\"invalid_token\"'",
    "X-Request-Id": "context.requestId",
    "X-Ip": "context.identity.sourceIp",
    "X-Nothing": "context.nothing.here",
}
RESPONSES = GatewayResponses.parse(
    {
        "UNAUTHORIZED": {
            "StatusCode": "401",
            "ResponseParameters": {"Headers": HEADERS},
            "ResponseTemplates": {"text/plain": "$context.error.responseType ($context.requestId)"},
        },
        "ACCESS_DENIED": {"StatusCode": 404},
        "DEFAULT_4XX": {"ResponseTemplates": {"text/html": "no", "application/json": '{"id":"$context.requestId"}'}},
        "DEFAULT_5XX": None,
    }
)


def test_status_headers_and_body_are_those_of_the_template():
    response = RESPONSES.response_to(Failure.UNAUTHORIZED, CONTEXT)
    assert (response.status_code, response.body) == (401, b"UNAUTHORIZED (the-id)")
    assert response.headers.getlist("content-type") == ["text/plain"]
    assert dict(response.headers).items() >= {
        ("www-authenticate", 'Bearer error="invalid_token"'),
        ("x-request-id", "the-id"),
        ("x-ip", "127.0.0.1"),
        ("x-nothing", ""),
    }


@pytest.mark.parametrize(
    ("failure", "status", "body"),
    [
        (Failure.ACCESS_DENIED, 404, {"message": "User is not authorized to access this resource"}),
        (Failure.REQUEST_TOO_LARGE, 413, {"id": "the-id"}),
    ],
    ids=["no body template", "default of the class"],
)
def test_incomplete_response_of_the_template_gets_defaults(failure, status, body):
    response = RESPONSES.response_to(failure, CONTEXT)
    assert (response.status_code, json.loads(bytes(response.body))) == (status, body)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("failure", Failure)
def test_failure_without_gateway_response_has_api_gateways_default(failure):
    response = GatewayResponses({}).response_to(failure, {})
    assert response.status_code == failure.status
    assert json.loads(bytes(response.body)) == {"message": failure.message}


def test_authorizer_failures_are_two_members():
    # Two members of an enum with the same value would be one member.
    assert {"AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"} <= {failure.name for failure in Failure}


@pytest.mark.parametrize("source", ["no quotes", "method.request.header.Origin", "context", "contextual"])
def test_header_with_an_invalid_value_is_an_error(source):
    with pytest.raises(TemplateError, match="X-Odd"):
        GatewayResponses.parse({"THROTTLED": {"ResponseParameters": {"Headers": {"X-Odd": source}}}})


@pytest.mark.threat("gateway-error-details")
@pytest.mark.parametrize("failure", Failure)
def test_gateway_responses_of_this_project_are_problem_documents(failure):
    response = load_template(PROJECT / "template.yaml").gateway_responses.response_to(failure, CONTEXT)
    document = json.loads(bytes(response.body))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == document["request_id"] == "the-id"
    assert document["status"] == response.status_code
    assert document.keys() == {"type", "title", "status", "detail", "code", "request_id"}

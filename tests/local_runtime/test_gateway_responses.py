import json

import pytest

from local_runtime.cloudformation import TemplateError
from local_runtime.gateway_responses import Failure, GatewayResponses
from local_runtime.template import load_template
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.local_runtime

CONTEXT = {"requestId": "the-id", "httpMethod": "GET", "identity": {"sourceIp": "127.0.0.1"}}

RESPONSES = GatewayResponses.parse(
    {
        "UNAUTHORIZED": {
            "StatusCode": "401",
            "ResponseParameters": {
                "Headers": {
                    "content-type": "'text/plain'",
                    "WWW-Authenticate": "'Bearer error=\"invalid_token\"'",
                    "X-Request-Id": "context.requestId",
                    "X-Ip": "context.identity.sourceIp",
                    "X-Nothing": "context.nothing.here",
                }
            },
            "ResponseTemplates": {"text/plain": "$context.error.responseType ($context.requestId)"},
        },
        "ACCESS_DENIED": {"StatusCode": 404},
        "DEFAULT_4XX": {"ResponseTemplates": {"text/html": "no", "application/json": '{"id":"$context.requestId"}'}},
        "DEFAULT_5XX": None,
    }
)


def test_status_headers_and_body_come_from_the_template():
    response = RESPONSES.answer(Failure.UNAUTHORIZED, CONTEXT)
    assert response.status_code == 401
    assert response.body == b"UNAUTHORIZED (the-id)"
    assert response.headers.getlist("content-type") == ["text/plain"]
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert response.headers["x-request-id"] == "the-id"
    assert response.headers["x-ip"] == "127.0.0.1"
    assert response.headers["x-nothing"] == ""


def test_a_response_without_body_template_says_the_gateways_own_text():
    response = RESPONSES.answer(Failure.ACCESS_DENIED, CONTEXT)
    assert response.status_code == 404
    assert json.loads(bytes(response.body)) == {"message": "User is not authorized to access this resource"}
    assert response.headers["content-type"] == "application/json"


def test_the_default_of_the_class_stands_in_and_keeps_the_failures_own_status():
    response = RESPONSES.answer(Failure.REQUEST_TOO_LARGE, CONTEXT)
    assert response.status_code == 413
    assert json.loads(bytes(response.body)) == {"id": "the-id"}


@pytest.mark.parametrize("failure", Failure)
def test_without_gateway_responses_each_failure_has_api_gateways_own(failure):
    response = GatewayResponses({}).answer(failure, {})
    assert response.status_code == failure.status
    assert json.loads(bytes(response.body)) == {"message": failure.message}


def test_the_two_faults_of_an_authorizer_are_told_apart():
    # Members of one value would be one member.
    assert {"AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"} <= {failure.name for failure in Failure}


@pytest.mark.parametrize("source", ["no quotes", "method.request.header.Origin", "context", "contextual"])
def test_a_header_that_cannot_be_computed_is_an_error_of_the_template(source):
    with pytest.raises(TemplateError, match="X-Odd"):
        GatewayResponses.parse({"THROTTLED": {"ResponseParameters": {"Headers": {"X-Odd": source}}}})


@pytest.mark.threat("gateway-error-details")
@pytest.mark.parametrize("failure", Failure)
def test_this_projects_gateway_answers_in_problem_json_with_the_request_id(failure):
    response = load_template(PROJECT / "template.yaml").gateway_responses.answer(failure, CONTEXT)
    document = json.loads(bytes(response.body))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == document["request_id"] == "the-id"
    assert document["status"] == response.status_code
    assert document.keys() == {"type", "title", "status", "detail", "code", "request_id"}

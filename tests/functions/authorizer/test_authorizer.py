"""The Lambda authorizer returns a policy for a token, and API Gateway may cache the policy."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.databases import start_fresh_environment
from tests.support.events import STAGE_ARN, authorizer_event
from tests.support.functions import authorize, call_authorizer
from tests.support.routes import PROTECTED

pytestmark = [pytest.mark.tokens, pytest.mark.sqlite]


def is_denied(answer):
    (statement,) = answer["policyDocument"]["Statement"]
    assert answer.keys() == {"principalId", "policyDocument"}
    assert statement["Resource"] == [f"{STAGE_ARN}/*"]
    return statement["Effect"] == "Deny"


def allows(answer, method, path):
    """Evaluate the policy as API Gateway does: ``*`` matches any text with slashes, and ``?`` one character."""
    (statement,) = answer["policyDocument"]["Statement"]
    arn = f"{STAGE_ARN}/{method}{path}"
    patterns = [re.escape(resource).replace(r"\*", ".*").replace(r"\?", ".") for resource in statement["Resource"]]
    return statement["Effect"] == "Allow" and any(re.fullmatch(pattern, arn) for pattern in patterns)


def test_valid_token_returns_a_policy_and_the_callers_context(person):
    answer = authorize(person.access_token)
    assert answer["principalId"] == person.id
    assert answer["policyDocument"]["Version"] == "2012-10-17"
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Action"], statement["Effect"]) == ("execute-api:Invoke", "Allow")
    context = answer["context"]
    assert context.keys() == {"user_id", "session_id", "token_version", "amr", "auth_time", "expires_at"}
    assert context["user_id"] == person.id
    assert (context["token_version"], context["amr"]) == ("0", "pwd")
    # API Gateway accepts strings, numbers and booleans, and converts all of them to strings.
    assert all(isinstance(value, str) for value in context.values())


@pytest.mark.threat("authorizer-cached-policy")
def test_policy_for_one_route_is_the_policy_for_all(person):
    """API Gateway applies a cached policy to the next request with that token, whatever its path."""
    paths = [(route.method, route.path.replace("{id}", "x")) for route in PROTECTED]
    policy, *others = [authorize(person.access_token, method=method, path=path) for method, path in paths]
    assert others == [policy] * len(others)
    not_protected = [("POST", "/users/x"), ("DELETE", "/users/x"), ("DELETE", "/audit/events"), ("PUT", "/sessions")]
    assert [path for path in (*paths, *not_protected) if allows(policy, *path)] == paths
    # A star in the middle matches slashes too. tests/project/test_gateway_routes.py checks that no open route matches.
    (statement,) = policy["policyDocument"]["Statement"]
    assert all(resource.startswith(f"{STAGE_ARN}/") for resource in statement["Resource"])
    inner = {f"{STAGE_ARN}/{each.method}{each.path.replace('{id}', '*')}" for each in PROTECTED if "{id}/" in each.path}
    assert {resource for resource in statement["Resource"] if "*" in resource[:-1]} == inner


def test_scheme_and_header_name_are_accepted_in_any_case(person):
    headers = [("Authorization", "Bearer"), ("Authorization", "bearer"), ("authorization", "BEARER")]
    for name, scheme in (*headers, ("aUTHORIZATION", "Bearer")):
        event = authorizer_event(None)
        event["multiValueHeaders"] = {name: [f"{scheme} {person.access_token}"]}
        assert allows(call_authorizer(event), "GET", "/users/x"), (name, scheme)


def test_absent_or_misspelt_bearer_token_is_denied(person):
    spellings = [
        *("{}", "Basic {}", "Bearer{}", "Bearer  {}", " Bearer {}", "Bearer {} ", "Bearer\t{}", "Bearer {},"),
        *("Token {}", "Bearer {0} {0}", 'Bearer "{}"', "Bearer token={}", "Bearer {}\n"),
    ]
    headers: list[str | None] = [spelling.format(person.access_token) for spelling in spellings]
    headers += [None, "", "Bearer", "Bearer ", "Bearer null", "Bearer undefined"]
    denied = {header: is_denied(call_authorizer(authorizer_event(header))) for header in headers}
    assert denied == dict.fromkeys(headers, True)
    event = authorizer_event(None)
    event["headers"] = event["multiValueHeaders"] = None
    assert is_denied(call_authorizer(event))


@pytest.mark.asvs("15.3.7")
def test_two_authorization_headers_are_denied(person):
    """The gateway may have cached the policy under the other header."""
    good = f"Bearer {person.access_token}"
    for values in ([good, good], [good, "Bearer x"], ["Bearer x", good]):
        event = authorizer_event(None)
        event["multiValueHeaders"] = {"Authorization": values}
        assert is_denied(call_authorizer(event))
        event["multiValueHeaders"] = {"Authorization": values[:1], "authorization": values[1:]}
        assert is_denied(call_authorizer(event))


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "3.5.1", "14.2.1")
def test_token_in_the_query_or_a_cookie_is_ignored(person):
    """RFC 9700 section 4.3.2: URLs end up in logs and histories."""
    event = authorizer_event(None)
    event["queryStringParameters"] = {"access_token": person.access_token}
    event["multiValueQueryStringParameters"] = {"access_token": [person.access_token]}
    event["multiValueHeaders"] = {"Cookie": [f"access_token={person.access_token}"]}
    assert is_denied(call_authorizer(event))


def test_token_of_another_installation_is_denied(person, environment):
    """Each installation has a signing key of its own."""
    for file in environment.glob("keys/*"):
        file.unlink()
    start_fresh_environment()
    assert is_denied(authorize(person.access_token))


@pytest.mark.asvs("16.3.1", "16.3.3")
@pytest.mark.threat("authorizer-untraced-refusal")
def test_denied_token_is_a_security_event(log_lines):
    authorize("not.a.token")
    (event,) = log_lines.security_events
    assert (event["name"], event["outcome"], event["reason"]) == ("authn_token_rejected", "failure", "invalid_token")


def test_token_without_shared_storage_is_denied_and_the_log_has_the_reason(person, monkeypatch, log_lines):
    monkeypatch.setenv("DATA_DIR", "/nowhere")
    start_fresh_environment()
    assert is_denied(authorize(person.access_token))
    misconfigured = log_lines.records[-2]
    rejected = log_lines.security_events[-1]
    assert (misconfigured["level"], misconfigured["message"]) == ("CRITICAL", "misconfigured")
    assert "share no storage" in misconfigured["error"]
    assert rejected["reason"] == "storage_not_mounted"


@pytest.mark.asvs("7.2.1", "16.5.3")
@pytest.mark.threat("authorizer-crash")
@given(authorization=st.text() | st.text().map(lambda text: f"Bearer {text}"))
@pytest.mark.usefixtures("environment")
def test_any_authorization_header_is_denied_without_an_exception(authorization):
    """API Gateway returns 500 for an exception, and calls the authorizer again at the next request."""
    assert is_denied(call_authorizer(authorizer_event(authorization)))

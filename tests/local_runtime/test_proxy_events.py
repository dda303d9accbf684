import base64
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.proxy_events import Request, authorizer_event, proxy_event, request_context
from local_runtime.routing import Match
from local_runtime.template import Function, Route

pytestmark = pytest.mark.local_runtime

FUNCTION = Function(name="F", folder=Path(), handler="app.handler", timeout=1, memory=128, environment={})
MATCH = Match(Route(method="GET", path="/users/{id}", function=FUNCTION, authorizer=None), {"id": "a b"})
BARE_MATCH = Match(Route(method="GET", path="/health", function=FUNCTION, authorizer=None), {})


def request(**changes):
    values = {"method": "GET", "path": "/users/a%20b", "query": "", "body": b"", "source_ip": "127.0.0.1"}
    headers = (("host", "localhost"), ("user-agent", "test/1"))
    return Request(**{**values, "headers": headers, "protocol": "HTTP/1.1", **changes})


def event(match=MATCH, binary_media_types=frozenset(), **changes):
    made = request(**changes)
    context = request_context(made, stage="local", match=match)
    return proxy_event(made, match, context, binary_media_types=binary_media_types)


def test_event_has_the_resource_and_the_encoded_path():
    made = event()
    assert (made["resource"], made["path"], made["httpMethod"]) == ("/users/{id}", "/users/a%20b", "GET")
    assert made["pathParameters"] == {"id": "a b"}


def test_event_of_a_bare_request_has_null_for_empty_members():
    made = event(BARE_MATCH, path="/health")
    query = ("queryStringParameters", "multiValueQueryStringParameters")
    assert [made[name] for name in (*query, "pathParameters", "stageVariables", "body")] == [None] * 5
    assert made["isBase64Encoded"] is False


def test_event_has_all_repeated_parameters_and_the_last_one():
    headers = (("x-tag", "1"), ("accept", "*/*"), ("x-tag", "2"))
    made = event(query="a=1&b=%C3%A9+%2B&a=2&empty=", headers=headers)
    assert made["queryStringParameters"] == {"a": "2", "b": "é +", "empty": ""}
    assert made["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["é +"], "empty": [""]}
    assert made["headers"] == {"x-tag": "2", "accept": "*/*"}
    assert made["multiValueHeaders"] == {"x-tag": ["1", "2"], "accept": ["*/*"]}


def test_request_context_has_a_request_id_and_the_client_ip():
    context = event()["requestContext"]
    assert UUID(context["requestId"]).version == 4
    assert context["requestId"] != event()["requestContext"]["requestId"]
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "test/1"}
    assert (context["stage"], context["path"]) == ("local", "/local/users/a%20b")
    assert context["resourcePath"] == "/users/{id}"
    assert "authorizer" not in context


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "is_base64"),
    [
        ("application/json", "{é}".encode(), "{é}", False),
        ("image/png", b"\x89PNG", base64.b64encode(b"\x89PNG").decode(), True),
        ("Image/PNG; q=1", b"text", base64.b64encode(b"text").decode(), True),
        ("application/json", b"\xff", base64.b64encode(b"\xff").decode(), True),
        ("", b"\x00", "\x00", False),
        ("image/png", b"", None, False),
    ],
)
def test_body_is_text_or_base64(content_type, body, expected, is_base64):
    made = event(body=body, headers=(("content-type", content_type),), binary_media_types=frozenset({"image/png"}))
    assert (made["body"], made["isBase64Encoded"]) == (expected, is_base64)


@given(st.binary())
def test_any_body_is_unchanged(body):
    made = event(body=body)
    text = made["body"] or ""
    assert (base64.b64decode(text, validate=True) if made["isBase64Encoded"] else text.encode()) == body
    assert event(body=b"text", binary_media_types=frozenset({"*/*"}))["isBase64Encoded"] is True


def test_authorizers_event_has_no_body():
    made = request(method="POST", body=b"secret", query="a=1")
    authorizer = authorizer_event(made, MATCH, request_context(made, stage="local", match=MATCH))
    assert authorizer["type"] == "REQUEST"
    assert authorizer["methodArn"] == "arn:aws:execute-api:us-east-1:123456789012:1234567890/local/POST/users/a%20b"
    assert authorizer["headers"]["user-agent"] == "test/1"
    assert authorizer["multiValueHeaders"]["user-agent"] == ["test/1"]
    assert (authorizer["pathParameters"], authorizer["queryStringParameters"]) == ({"id": "a b"}, {"a": "1"})
    assert authorizer["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert "body" not in authorizer

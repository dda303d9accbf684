import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.proxy_responses import MalformedResponse, to_response

pytestmark = pytest.mark.local_runtime

PNG = b"\x89PNG\r\n"
PNG_RESPONSE = {"statusCode": 200, "body": base64.b64encode(PNG).decode(), "isBase64Encoded": True}


def respond(result, accept="*/*", binary_media_types=frozenset()):
    return to_response(result, accept=accept, binary_media_types=binary_media_types)


def test_a_response_is_status_headers_and_body():
    response = respond(
        {"statusCode": 201, "headers": {"Location": "/users/7", "X-Count": 7, "X-Is": True}, "body": "é"}
    )
    assert response.status_code == 201
    assert response.headers["location"] == "/users/7"
    assert (response.headers["x-count"], response.headers["x-is"]) == ("7", "true")
    assert response.body == "é".encode()


def test_a_response_without_content_type_is_json():
    assert respond({"statusCode": 200}).headers["content-type"] == "application/json"
    assert respond({"statusCode": 200, "headers": {"content-type": "a/b"}}).headers["content-type"] == "a/b"


def test_a_status_may_be_a_text_of_digits():
    assert respond({"statusCode": "404"}).status_code == 404


def test_multi_value_headers_win_over_single_ones_of_the_same_name():
    response = respond(
        {
            "statusCode": 200,
            "headers": {"Set-Cookie": "a=0", "X-Other": "1"},
            "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
        }
    )
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-other"] == "1"


def test_lengths_and_connections_are_the_gateways_business():
    headers = {"Content-Length": "999", "Transfer-Encoding": "chunked", "Connection": "close"}
    response = respond({"statusCode": 200, "headers": headers, "body": "four"})
    assert response.headers["content-length"] == "4"
    assert "transfer-encoding" not in response.headers
    assert "connection" not in response.headers


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_none(status):
    response = respond({"statusCode": status, "body": "text"})
    assert response.body == b""
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("accept", "binary_media_types", "decoded"),
    [
        ("image/png", {"image/png"}, True),
        ("Image/PNG;q=0.5, text/html", {"image/png"}, True),
        ("text/html, image/png", {"image/png"}, False),
        ("*/*", {"image/png"}, False),
        ("text/html", {"*/*"}, True),
        ("image/png", set(), False),
    ],
)
def test_base64_is_decoded_where_the_api_declares_the_accepted_type_as_binary(accept, binary_media_types, decoded):
    response = respond(PNG_RESPONSE, accept, frozenset(binary_media_types))
    assert response.body == (PNG if decoded else base64.b64encode(PNG))


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        [],
        {},
        {"body": "no status"},
        {"statusCode": "OK"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 200.0},
        {"statusCode": 100},
        {"statusCode": 600},
        {"statusCode": 200, "body": {"not": "a text"}},
        {"statusCode": 200, "cookies": []},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"X-List": ["a"]}},
        {"statusCode": 200, "headers": {"Bad Name": "x"}},
        {"statusCode": 200, "headers": {"X-Split": "a\r\nSet-Cookie: b"}},
        {"statusCode": 200, "headers": {"X-Wide": "\u20ac"}},
        {"statusCode": 200, "multiValueHeaders": []},
        {"statusCode": 200, "multiValueHeaders": {"X-Text": "a"}},
        {"statusCode": 200, "multiValueHeaders": {"X-None": [None]}},
    ],
)
def test_what_api_gateway_would_answer_with_502_is_refused(result):
    with pytest.raises(MalformedResponse):
        respond(result)


def test_broken_base64_is_refused():
    with pytest.raises(MalformedResponse, match="base64"):
        respond({"statusCode": 200, "body": "%", "isBase64Encoded": True}, binary_media_types=frozenset({"*/*"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"])


@given(JSON | st.dictionaries(KEYS, JSON))
def test_anything_a_function_returns_is_a_response_or_refused(result):
    try:
        response = respond(result, binary_media_types=frozenset({"*/*"}))
    except MalformedResponse:
        return
    assert 200 <= response.status_code <= 599

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.proxy_responses import MalformedResponse, to_response

pytestmark = pytest.mark.local_runtime

PNG = b"\x89PNG\r\n"
PNG_RESPONSE = {"statusCode": 200, "body": base64.b64encode(PNG).decode(), "isBase64Encoded": True}


def respond(result, accept="*/*", binary_media_types=frozenset()):
    return to_response(result, accept=accept, binary_media_types=binary_media_types)


def test_response_has_the_functions_status_headers_and_body():
    headers = {"Location": "/users/7", "X-Count": 7, "X-Is": True}
    response = respond({"statusCode": 201, "headers": headers, "body": "é"})
    assert (response.status_code, response.body) == (201, "é".encode())
    assert [response.headers[name] for name in headers] == ["/users/7", "7", "true"]
    assert respond({"statusCode": "404"}).status_code == 404


def test_response_without_content_type_is_json():
    assert respond({"statusCode": 200}).headers["content-type"] == "application/json"
    assert respond({"statusCode": 200, "headers": {"content-type": "a/b"}}).headers["content-type"] == "a/b"


def test_multi_value_headers_replace_single_ones_of_the_same_name():
    headers = {"Set-Cookie": "a=0", "X-Other": "1"}
    response = respond({"statusCode": 200, "headers": headers, "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]}})
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-other"] == "1"


def test_length_and_connection_headers_of_a_function_are_ignored():
    headers = {"Content-Length": "999", "Transfer-Encoding": "chunked", "Connection": "close"}
    response = respond({"statusCode": 200, "headers": headers, "body": "four"})
    assert response.headers["content-length"] == "4"
    assert not {"transfer-encoding", "connection"} & {*response.headers}


@pytest.mark.parametrize("status", [204, 304])
def test_response_with_status_204_or_304_has_no_body(status):
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
def test_base64_is_decoded_if_the_accepted_type_is_binary(accept, binary_media_types, decoded):
    response = respond(PNG_RESPONSE, accept, frozenset(binary_media_types))
    assert response.body == (PNG if decoded else base64.b64encode(PNG))


OK: dict[str, Any] = {"statusCode": 200}
HEADERS: list[Any] = [[], {"X-List": ["a"]}, {"Bad Name": "x"}, {"X-Wide": "\u20ac"}, {"X-Split": "a\r\nSet-Cookie: b"}]
MULTI_VALUE_HEADERS: list[Any] = [[], {"X-Text": "a"}, {"X-None": [None]}]


@pytest.mark.parametrize(
    "result",
    [
        *[None, "text", [], {}, {"body": "no status"}],
        *[{"statusCode": status} for status in ("OK", None, True, 200.0, 100, 600)],
        OK | {"body": {"not": "a text"}},
        OK | {"cookies": []},
        OK | {"body": "%", "isBase64Encoded": True},
        *[OK | {"headers": headers} for headers in HEADERS],
        *[OK | {"multiValueHeaders": headers} for headers in MULTI_VALUE_HEADERS],
    ],
)
def test_malformed_response_of_a_function_is_rejected(result):
    with pytest.raises(MalformedResponse):
        respond(result, binary_media_types=frozenset({"*/*"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"])


@given(JSON | st.dictionaries(KEYS, JSON))
def test_any_result_is_a_response_or_malformed(result):
    try:
        response = respond(result, binary_media_types=frozenset({"*/*"}))
    except MalformedResponse:
        return
    assert 200 <= response.status_code <= 599

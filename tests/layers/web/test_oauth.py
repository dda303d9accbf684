"""Form bodies and errors of the routes of OAuth (RFC 6749)."""

import json
import re
from typing import Annotated
from urllib.parse import urlencode

import pytest
from pydantic import Field

from auth_common import errors
from auth_common.errors import InvalidClient, ServiceError, TooManyAttempts
from auth_common.field_types import FormBody
from auth_common.web.application import create_handler
from auth_common.web.endpoint import ANYONE, endpoint
from auth_common.web.oauth import FORM, FORM_MEDIA_TYPE, MAX_FORM_BYTES, OAuthErrorResponse, create_oauth_app
from tests.support.events import proxy_event
from tests.support.functions import call_handler

pytestmark = [pytest.mark.web, pytest.mark.sqlite]

BUG = "SELECT * FROM clients; the text of a bug"
#: RFC 6749 appendix A.8.
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
app = create_oauth_app()


class Parameters(FormBody):
    """What the route of these tests knows."""

    token: Annotated[str, Field(max_length=20)]
    hint: str | None = None


@app.post("/form", **endpoint(access=ANYONE))
async def form(body: Annotated[Parameters, FORM]) -> dict[str, str | None]:
    match body.token:
        case "bug":
            raise LookupError(BUG)
        case "client":
            raise InvalidClient
        case "limit":
            raise TooManyAttempts(limit="refresh_source", quota=1, window=60, retry_after=30)
    return {"token": body.token, "hint": body.hint}


handler = create_handler(app)


def send(body, *, content_type=FORM_MEDIA_TYPE, **options):
    encoded = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type, **options.pop("headers", {})}
    return call_handler(handler, proxy_event("POST", "/form", body=encoded, headers=headers, **options))


@pytest.mark.parametrize(
    ("body", "received"),
    [
        ("token=abc", {"token": "abc", "hint": None}),
        ("token=a%20b+c%2B%c3%A9", {"token": "a b c+é", "hint": None}),
        ("hint=x&token=abc", {"token": "abc", "hint": "x"}),
        # RFC 6749 section 3.2: no value counts as no parameter, and unknown parameters are ignored.
        ("token=abc&hint=", {"token": "abc", "hint": None}),
        ("token=abc&hint&&unknown=1", {"token": "abc", "hint": None}),
        ("token=abc;hint=x", {"token": "abc;hint=x", "hint": None}),
    ],
)
@pytest.mark.parametrize("content_type", [FORM_MEDIA_TYPE, "Application/X-WWW-Form-Urlencoded; charset=UTF-8"])
def test_form_is_decoded_and_unknown_parameters_are_ignored(body, received, content_type):
    answer = send(body, content_type=content_type)
    assert (answer.status, answer.json) == (200, received)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.asvs("1.5.3", "15.3.7")
@pytest.mark.parametrize(
    "body",
    [
        "",
        "token=",
        "hint=x",
        "token=a&token=a",
        "token=a&token=b",
        "token=a&unknown=1&unknown=2",
        # The second one has no value, and another parser may return that one.
        "token=a&token=",
        "token=%zz",
        "token=%",
        "token=%ff",
        b"token=\xff",
        b"token=\xc3\xa9",
        "token=%00",
        "token=a%0d%0aSet-Cookie:x",
        "token=" + "a" * 21,
        "&".join(f"p{number}=1" for number in range(101)) + "&token=a",
        '{"token": "a"}',
    ],
)
@pytest.mark.usefixtures("database")
def test_form_that_is_malformed_or_repeats_a_parameter_is_an_invalid_request(body):
    answer = send(body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert DESCRIPTION.fullmatch(answer.json["error_description"])


@pytest.mark.asvs("14.2.1")
@pytest.mark.usefixtures("database")
def test_parameters_in_the_url_are_rejected():
    """URLs are stored in logs (RFC 6749 section 2.3.1)."""
    for query in ({"token": "abc"}, {"unknown": "x"}):
        answer = send("token=abc", query=query)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.asvs("4.1.1")
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_body_of_another_media_type_is_an_invalid_request(content_type):
    answer = send(json.dumps({"token": "abc"}), content_type=content_type)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert FORM_MEDIA_TYPE in answer.json["error_description"]


def test_compressed_or_too_large_form_is_rejected():
    encoded = send("token=abc", headers={"Content-Encoding": "gzip"})
    assert (encoded.status, encoded.json["error"]) == (415, "invalid_request")
    unknown = {"token": "abc", "unknown": "x" * (MAX_FORM_BYTES - len("token=abc&unknown="))}
    assert send(urlencode(unknown)).status == 200
    large = send(urlencode(unknown | {"more": "x"}))
    assert (large.status, large.json["error"]) == (413, "invalid_request")


@pytest.mark.asvs("16.5.1")
def test_bug_is_a_server_error_for_the_client_and_a_traceback_for_operators(log_lines):
    answer = send("token=bug")
    assert (answer.status, answer.json["error"]) == (500, "server_error")
    assert BUG not in answer.text
    (record,) = [record for record in log_lines.records if record["level"] == "ERROR"]
    assert (record["exception_name"], record["request_id"]) == ("LookupError", answer.json["request_id"])


def test_error_keeps_its_status_and_headers():
    client = send("token=client")
    assert (client.status, client.json["error"]) == (401, "invalid_client")
    assert client.headers["www-authenticate"].startswith("Basic ")
    limit = send("token=limit")
    assert (limit.status, limit.json["error"]) == (429, "temporarily_unavailable")
    assert limit.headers["retry-after"] == "30"


def every_error(kind=ServiceError):
    return [kind, *(each for child in kind.__subclasses__() for each in every_error(child))]


@pytest.mark.parametrize(
    "kind",
    [each for each in every_error() if each.__module__ == errors.__name__ and isinstance(each.detail, str)],
    ids=lambda kind: kind.__name__,
)
def test_description_of_every_error_has_only_the_characters_of_rfc_6749(kind):
    error = kind(limit="x", quota=1, window=1, retry_after=1) if kind is TooManyAttempts else kind()
    body = json.loads(bytes(OAuthErrorResponse(error).body))
    assert body.keys() == {"error", "error_description", "request_id"}
    assert DESCRIPTION.fullmatch(body["error"])
    assert DESCRIPTION.fullmatch(body["error_description"])

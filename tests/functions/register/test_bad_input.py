"""POST /users with bad input returns a problem document that does not repeat the input, and stores no row."""

import base64
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.database.tables import users
from auth_common.web.json_body import MAX_BODY_BYTES
from tests.support import leaks
from tests.support.events import json_event, proxy_event
from tests.support.factories import PASSWORD, registration
from tests.support.functions import Response, call

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]

#: Part of bad values, so that an echo of them can be found anywhere in a response.
MARK = "ec7h0-"


def post(body: bytes | None, **headers: str) -> Response:
    leaks.remember(PASSWORD)
    return call("register", proxy_event("POST", "/users", body=body, headers=headers))


def post_json(body: Any) -> Response:
    return call("register", json_event("POST", "/users", body))


def not_rejected(database: Any, answers: Iterable[tuple[object, Response]], *fields: set[str]) -> dict[str, Any]:
    """Return the responses that are not a problem document for one of ``fields``, or that repeat the input."""
    found = {}
    for sent, answer in answers:
        is_echoed = MARK in answer.text or PASSWORD in answer.text
        outcome = (answer.status, answer.json.get("code"), answer.json.get("title"), is_echoed)
        if outcome != (422, "validation_failed", "Unprocessable Content", False) or answer.fields not in fields:
            found[ascii(sent)[:80]] = (*outcome, answer.text)
    assert database.count(users) == 0
    return found


def marked(*texts: str) -> list[str]:
    return [f"{MARK}{text}" for text in texts]


BAD_FIELDS: dict[str, list[Any]] = {
    "name": [
        *(None, 7, [MARK], {"first": MARK}, True, "", "   "),
        *("12345", "\u3164", "\u3164.", "\u115f1"),  # no letter, or fillers, which Unicode defines as letters
        *marked("\nPerson", "\rPerson", "\x00Person", "\x1b[31mPerson", "\x7fPerson", "\x9bPerson", "\u2028Person"),
        *marked("\u202ePerson", "\u200bPerson", "\U000e0041Person"),  # bidirectional, zero-width, tag
        f"{MARK}\ufffdPerson",  # a gateway's replacement for invalid UTF-8
        *marked("\ue000Person", "\ufdd0Person", "\U0003fffePerson"),  # private characters and noncharacters
        *marked("\u2065Person", "\U000e0080Person"),  # characters that will be invisible
        *(f"{MARK}\U00013439Person", "\U0001fae8"),  # a format character and a symbol newer than Python
        *(MARK * 1_700, "a" * 101),
        "\ufb2c" * 40,  # longer than 100 characters in NFC
    ],
    "email": [
        *(None, 7, ["person@example.com"], "", "@example.com"),
        *marked("example.com", "@", "@example@example.com", " <person@example.com>", " person@example.com"),
        *marked("\nperson@example.com", "@example.com\r\nBcc: other@example.com", "\x00@example.com"),
        *marked("@localhost", "@[127.0.0.1]", "..x@example.com", "(comment)@example.com"),
        f'"{MARK} x"@example.com',  # a quoted local part
        *("a" * 65 + "@example.com", MARK * 1_700 + "@example.com"),
        *marked("@example.invalid", "@example.onion", "@7.113.0.203.in-addr.arpa"),
    ],
    "date_of_birth": [
        *(None, 19800414, "324518400", "", MARK),
        *("1980-02-30", "1980-13-01", "14.04.1980", "19800414", "1980-W16-1", "80-04-14", "١٩٨٠-٠٤-١٤"),
        *("1899-12-31", "0000-01-01", "9999-12-31"),
        *("1980-02-30T10:00:00Z", "1980-04-14T10:60:00Z", "1980-04-14T10:00:61Z", "1980-04-14T24:00:01Z"),
        *("1980-04-14T10:00:00+24:00", "1980-04-14T", "1980-04-14Z", "1980-04-14T\u0661\u0660:00:00Z"),
        *("1980-04-14T25:00:00Z", "1980-04-14 10:00:00Z", "1980-04-14\n"),
    ],
    "job_title": [None, 7, "", f"{MARK}\nEngineer", MARK * 1_700],
    "password": [None, 123456789012345678, [PASSWORD], {"password": PASSWORD}, MARK * 1_700],
}


@pytest.mark.asvs("1.3.3", "2.2.1", "2.2.2", "15.3.5")
@pytest.mark.parametrize("field", BAD_FIELDS)
def test_bad_value_is_rejected_by_field_and_not_echoed(database, field):
    answers = ((value, post_json(registration(**{field: value}))) for value in BAD_FIELDS[field])
    assert not_rejected(database, answers, {field}) == {}


def test_date_of_birth_of_today_or_later_is_rejected(database):
    """The dates are made here, because a long test run may pass midnight."""
    now = datetime.now(UTC)
    for day in (now, now + timedelta(days=2)):
        value = day.date().isoformat()
        answer = post_json(registration(date_of_birth=value))
        assert not_rejected(database, [(value, answer)], {"date_of_birth"}) == {}


FAULTS = [
    (registration(name=7), "name", "must be a string"),
    (registration(name="7"), "name", "must contain a letter"),
    (registration(name="a\tb"), "name", "contains characters that are not allowed"),
    (registration(name="a" * 101), "name", "is too long"),
    (registration(email="person"), "email", "is not a valid e-mail address"),
    (registration(email="a" * 321), "email", "is too long"),
    (registration(date_of_birth="14.04.1980"), "date_of_birth", "must be a date such as 1980-04-14"),
    (registration(date_of_birth="2999-01-01"), "date_of_birth", "must be between 1900-01-01 and yesterday"),
    (registration(password="short"), "password", None),
    ([], "body", "must be a JSON object"),
    (None, "body", "must be a JSON object"),
    *(({**registration(), field: ...}, field, "is required") for field in registration()),
    (registration(nickname=MARK), "nickname", "is not a field of this request"),
]


@pytest.mark.asvs("2.2.1", "8.2.3", "15.3.3")
def test_fault_is_described_in_a_readable_message(database):
    for body, field, message in FAULTS:
        sent = {name: value for name, value in body.items() if value is not ...} if isinstance(body, dict) else body
        answer = post_json(sent)
        assert not_rejected(database, [(body, answer)], {field}) == {}
        (error,) = answer.json["errors"]
        assert error == {"field": field, "message": message or error["message"]}
        assert not error["message"].endswith(".")
    without_body = post(b"", **{"Content-Type": "application/json"})
    assert without_body.json["errors"] == [{"field": "body", "message": "is required"}]


def test_all_faults_are_reported_in_one_response(database):
    answer = post_json({"name": 1, "email": MARK, "role": "admin"})
    assert not_rejected(database, [("all", answer)], {*registration(), "role"}) == {}
    many = post_json({f"field{number}": 1 for number in range(1_000)})
    assert (many.status, len(many.json["errors"])) == (422, 20)


@pytest.mark.asvs("1.2.1")
def test_unknown_field_with_a_harmful_name_is_not_echoed(database):
    names = [f"<script>{MARK}</script>", f"{MARK}\r\nSet-Cookie: a=b", MARK * 20, f"{MARK}é", "", "a" * 65, "\u202e"]
    answers = ((name, post_json(registration(**{name: 1}))) for name in names)
    assert not_rejected(database, answers, {"body"}) == {}


GOOD = json.dumps(registration())
BAD_BODIES = {
    "no body": None,
    "empty": b"",
    "a blank": b" ",
    "cut off": GOOD[:-1].encode(),
    "text behind it": f"{GOOD} {MARK}".encode(),
    "two documents": f"{GOOD}{GOOD}".encode(),
    "not JSON": f"name={MARK}&password={PASSWORD}".encode(),
    "single quotes": GOOD.replace('"', "'").encode(),
    "a comma too many": f"{GOOD[:-1]},}}".encode(),
    "a comment": f"{GOOD[:-1]}/* {MARK} */}}".encode(),
    "null": b"null",
    "a list": f"[{GOOD}]".encode(),
    "a string": json.dumps(GOOD).encode(),
    "a number": b"7",
    "NaN": f'{GOOD[:-1]},"number":NaN}}'.encode(),
    "Infinity": f'{GOOD[:-1]},"number":-Infinity}}'.encode(),
    "a repeated name": f'{GOOD[:-1]},"email":"{MARK}@example.com"}}'.encode(),
    "a repeated name, spelled with an escape": f'{GOOD[:-1]},"\\u0065mail":"{MARK}@example.com"}}'.encode(),
    "a repeated name, deep inside": f'{GOOD[:-1]},"x":[{{"a":1,"a":2}}]}}'.encode(),
    "a lone surrogate": GOOD.replace("Test Person", "Test \\ud800 Person").encode(),
    "a lone surrogate as a name": f'{GOOD[:-1]},"\\udfff":1}}'.encode(),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "invalid UTF-8": GOOD.encode().replace(b"Test", b"T\xffst"),
    "an overlong encoding": GOOD.encode().replace(b"Test", b"T\xc0\xafst"),
    "a surrogate encoded as UTF-8": GOOD.encode().replace(b"Test", b"T\xed\xa0\x80st"),
    "a raw NUL": GOOD.encode().replace(b"Test", b"T\x00st"),
    "a raw newline in a string": GOOD.encode().replace(b"Test", b"T\nst"),
    "only NUL": b"\x00" * 64,
    "lists 30 000 deep": b"[" * 30_000 + b"]" * 30_000,
    "objects 10 000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a number of 60 000 digits": b'{"name":' + b"9" * 60_000 + b"}",
    "a number beyond any float": b'{"name":1e999}',
}


@pytest.mark.asvs("1.1.1", "1.5.3", "15.3.7")
def test_body_that_is_not_one_strict_json_object_is_rejected(database):
    answers = ((kind, post(body, **{"Content-Type": "application/json"})) for kind, body in BAD_BODIES.items())
    assert not_rejected(database, answers, {"body"}, {*registration()}) == {}


@pytest.mark.asvs("1.1.1")
def test_base64_body_is_decoded(database):
    """API Gateway encodes a body in base64 if it treats the media type as binary."""
    event = json_event("POST", "/users", registration()) | {"body": "eyJ9", "isBase64Encoded": True}
    assert call("register", event).status == 422
    event["body"] = base64.b64encode(json.dumps(registration()).encode()).decode()
    assert call("register", event).status == 201
    assert database.count(users) == 1


@pytest.mark.asvs("2.2.2", "15.2.2")
@pytest.mark.threat("function-slow-input")
def test_body_larger_than_64_kib_returns_413(database):
    answer = post_json(registration(name="a" * MAX_BODY_BYTES))
    assert (answer.status, answer.code) == (413, "request_too_large")
    assert answer.json["title"] == "Content Too Large"
    assert database.count(users) == 0


@pytest.mark.asvs("3.5.1", "3.5.2")
def test_wrong_content_type_returns_415(database):
    types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    for content_type in (*types, "application/jsonp", "", "json", None):
        event = proxy_event("POST", "/users", body=GOOD.encode(), headers={"Content-Type": content_type or ""})
        if content_type is None:
            event["headers"], event["multiValueHeaders"] = {}, {}
        answer = call("register", event)
        assert (answer.status, answer.code) == (415, "unsupported_media_type"), content_type
        assert answer.json["title"] == "Unsupported Media Type"
    assert database.count(users) == 0


@pytest.mark.asvs("1.1.1", "2.2.2")
def test_compressed_body_returns_415_and_names_the_accepted_encoding(database):
    body = gzip.compress(GOOD.encode())
    for encoding in ("gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "gzip,", "x-unknown"):
        answer = post(body, **{"Content-Type": "application/json", "Content-Encoding": encoding})
        assert (answer.status, answer.code) == (415, "unsupported_content_encoding"), encoding
        assert answer.headers["accept-encoding"] == "identity"
    assert database.count(users) == 0


def test_identity_encoding_and_a_charset_are_accepted(database):
    types = ["application/json"] * 4 + ["application/json; charset=utf-8"]
    encodings = ["identity", "Identity", "", " identity , identity", "identity"]
    for content_type, encoding in zip(types, encodings, strict=True):
        body = json.dumps(registration(email=f"person{database.count(users)}@example.com")).encode()
        assert post(body, **{"Content-Type": content_type, "Content-Encoding": encoding}).status == 201
    assert database.count(users) == 5


any_scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text().map(lambda text: MARK + text)
any_json = st.recursive(
    any_scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
almost_registrations = st.fixed_dictionaries(
    {}, optional={name: any_json | st.just(value) for name, value in registration().items()}
)
# All examples of a run share one database, so an example may meet accounts of earlier examples.


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("1.2.1", "1.4.2", "2.2.1", "16.5.1")
@given(body=almost_registrations | any_json)
def test_any_json_returns_201_or_a_problem_without_echo(database, body):
    before = database.count(users)
    answer = post_json(body)
    assert answer.status in {201, 409, 422}
    assert answer.status == 201 or MARK not in answer.text
    assert database.count(users) == before + (answer.status == 201)


@given(body=st.binary(max_size=300))
def test_any_bytes_return_a_problem_without_echo(database, body):
    answer = post(body, **{"Content-Type": "application/json"})
    assert not_rejected(database, [(body, answer)], {"body"}) == {}

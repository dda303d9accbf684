"""POST /users with input that is wrong: a problem document, no 500, no echo, no row."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.db.tables import users
from auth_common.web.json_body import LARGEST
from tests.support import leaks
from tests.support.events import json_event, proxy_event
from tests.support.factories import PASSWORD, registration
from tests.support.functions import Answer, call

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]

#: Stands in bad values, so that an echo is found wherever it turns up.
MARK = "ec7h0-"


def post(body: bytes | None, **headers: str) -> Answer:
    leaks.remember(PASSWORD)
    return call("register", proxy_event("POST", "/users", body=body, headers=headers))


def assert_refused(database: Any, answer: Answer, fields: set[str]) -> None:
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["title"] == "Unprocessable Content"
    assert answer.fields == fields
    assert MARK not in answer.text
    assert PASSWORD not in answer.text
    assert database.count(users) == 0


def not_rejected(database: Any, bodies: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    """Send each body, and return what differs from a problem document that names ``fields`` and repeats nothing."""
    rejected = (422, "validation_failed", "Unprocessable Content", fields, False)
    found = {}
    for kind, body in bodies.items():
        answer = call("register", json_event("POST", "/users", body))
        echoed = MARK in answer.text or PASSWORD in answer.text
        problem = answer.json
        named = {error["field"] for error in problem.get("errors", [])}
        found[kind] = (answer.status, problem.get("code"), problem.get("title"), named, echoed)
    assert database.count(users) == 0
    return {kind: outcome for kind, outcome in found.items() if outcome != rejected}


BAD_FIELDS: dict[str, dict[str, Any]] = {
    "name": {
        "null": None,
        "a number": 7,
        "a list": [MARK],
        "an object": {"first": MARK},
        "true": True,
        "empty": "",
        "blanks": "   ",
        "no letter": "12345",
        "only a filler, which counts as a letter": "\u3164",
        "a newline inside": f"{MARK}\nPerson",
        "a carriage return inside": f"{MARK}\rPerson",
        "NUL inside": f"{MARK}\x00Person",
        "an escape sequence": f"{MARK}\x1b[31mPerson",
        "DEL": f"{MARK}\x7fPerson",
        "a C1 control character": f"{MARK}\x9bPerson",
        "a line separator": f"{MARK}\u2028Person",
        "a right-to-left override": f"{MARK}\u202ePerson",
        "what a gateway makes of bad UTF-8": f"{MARK}\ufffdPerson",
        "a zero-width space": f"{MARK}\u200bPerson",
        "a tag character": f"{MARK}\U000e0041Person",
        "a private character": f"{MARK}\ue000Person",
        "a noncharacter": f"{MARK}\ufdd0Person",
        "the last noncharacter of a plane": f"{MARK}\U0003fffePerson",
        "a character that will be invisible": f"{MARK}\u2065Person",
        "another one": f"{MARK}\U000e0080Person",
        "a format character newer than Python": f"{MARK}\U00013439Person",
        "only a symbol newer than Python": "\U0001fae8",
        "10 kB": MARK * 1_700,
        "101 characters": "a" * 101,
        "longer than 100 once it is composed": "\ufb2c" * 40,
    },
    "email": {
        "null": None,
        "a number": 7,
        "a list": ["person@example.com"],
        "empty": "",
        "no at sign": f"{MARK}example.com",
        "no local part": "@example.com",
        "no domain": f"{MARK}@",
        "two at signs": f"{MARK}@example@example.com",
        "a display name": f"{MARK} <person@example.com>",
        "a blank inside": f"{MARK} person@example.com",
        "a newline inside": f"{MARK}\nperson@example.com",
        "a header injection": f"{MARK}@example.com\r\nBcc: other@example.com",
        "NUL": f"{MARK}\x00@example.com",
        "no dot in the domain": f"{MARK}@localhost",
        "an IP address": f"{MARK}@[127.0.0.1]",
        "a quoted local part": f'"{MARK} x"@example.com',
        "two dots": f"{MARK}..x@example.com",
        "a comment": f"{MARK}(comment)@example.com",
        "a local part of 65 characters": "a" * 65 + "@example.com",
        "10 kB": MARK * 1_700 + "@example.com",
        "a domain that never resolves": f"{MARK}@example.invalid",
        "a domain of Tor": f"{MARK}@example.onion",
        "an IP address as a domain": f"{MARK}@7.113.0.203.in-addr.arpa",
    },
    "date_of_birth": {
        "null": None,
        "a number": 19800414,
        "a UNIX time": "324518400",
        "empty": "",
        "not a date": f"{MARK}",
        "no such day": "1980-02-30",
        "no such month": "1980-13-01",
        "month and day swapped": "14.04.1980",
        "no dashes": "19800414",
        "an ISO week date": "1980-W16-1",
        "two digits of year": "80-04-14",
        "Arabic digits": "١٩٨٠-٠٤-١٤",
        "before 1900": "1899-12-31",
        "year 0": "0000-01-01",
        "today": datetime.now(UTC).date().isoformat(),
        "in the future": (datetime.now(UTC) + timedelta(days=2)).date().isoformat(),
        "far in the future": "9999-12-31",
        "no such day, with a time": "1980-02-30T10:00:00Z",
        "minute 60": "1980-04-14T10:60:00Z",
        "second 61": "1980-04-14T10:00:61Z",
        "after the end of the day": "1980-04-14T24:00:01Z",
        "hour 24 of a zone": "1980-04-14T10:00:00+24:00",
        "a T without a time": "1980-04-14T",
        "a zone without a time": "1980-04-14Z",
        "Arabic digits of a time": "1980-04-14T\u0661\u0660:00:00Z",
        "hour 25": "1980-04-14T25:00:00Z",
        "a blank instead of T": "1980-04-14 10:00:00Z",
        "a newline at the end": "1980-04-14\n",
    },
    "job_title": {
        "null": None,
        "a number": 7,
        "empty": "",
        "a newline": f"{MARK}\nEngineer",
        "10 kB": MARK * 1_700,
    },
    "password": {
        "null": None,
        "a number": 123456789012345678,
        "a list": [PASSWORD],
        "an object": {"password": PASSWORD},
        "10 kB": MARK * 1_700,
    },
}


@pytest.mark.asvs("1.3.3", "2.2.1", "2.2.2", "15.3.5")
@pytest.mark.parametrize("field", BAD_FIELDS)
def test_bad_value_of_a_field_is_named_and_not_echoed(database, field):
    bodies = {kind: registration(**{field: value}) for kind, value in BAD_FIELDS[field].items()}
    assert not_rejected(database, bodies, {field}) == {}


def test_missing_field_is_named(database):
    for field in registration():
        body = registration()
        del body[field]
        answer = call("register", json_event("POST", "/users", body))
        assert_refused(database, answer, {field})
        assert answer.json["errors"] == [{"field": field, "message": "is required"}]


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
]


@pytest.mark.usefixtures("environment")
def test_fault_is_described_for_people():
    for body, field, message in FAULTS:
        (error,) = call("register", json_event("POST", "/users", body)).json["errors"]
        assert error == {"field": field, "message": message or error["message"]}
        assert not error["message"].endswith(".")


@pytest.mark.usefixtures("environment")
def test_without_a_body_the_body_is_required():
    assert post(b"", **{"Content-Type": "application/json"}).json["errors"] == [
        {"field": "body", "message": "is required"}
    ]


def test_all_faults_are_told_at_once(database):
    answer = call("register", json_event("POST", "/users", {"name": 1, "email": MARK, "role": "admin"}))
    assert_refused(database, answer, {"name", "email", "date_of_birth", "job_title", "password", "role"})


@pytest.mark.asvs("2.2.1", "8.2.3", "15.3.3")
def test_an_unknown_field_is_named(database):
    answer = call("register", json_event("POST", "/users", registration(nickname=MARK)))
    assert_refused(database, answer, {"nickname"})
    assert answer.json["errors"] == [{"field": "nickname", "message": "is not a field of this request"}]


@pytest.mark.asvs("1.2.1")
def test_unknown_field_with_a_harmful_name_is_not_echoed(database):
    names = [f"<script>{MARK}</script>", f"{MARK}\r\nSet-Cookie: a=b", MARK * 20, f"{MARK}é", "", "a" * 65, "\u202e"]
    assert not_rejected(database, {name: registration(**{name: 1}) for name in names}, {"body"}) == {}


def test_a_thousand_unknown_fields_give_a_short_answer(database):
    answer = call("register", json_event("POST", "/users", {f"field{number}": 1 for number in range(1_000)}))
    assert (answer.status, len(answer.json["errors"])) == (422, 20)
    assert database.count(users) == 0


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
    for kind, body in BAD_BODIES.items():
        answer = post(body, **{"Content-Type": "application/json"})
        assert answer.status == 422, kind
        assert_refused(database, answer, answer.fields)
        assert answer.fields in ({"body"}, {"name", "email", "date_of_birth", "job_title", "password"}), kind


@pytest.mark.asvs("1.1.1")
def test_a_body_as_base64_is_read(database):
    """API Gateway sends a body so where its media type counts as binary."""
    event = json_event("POST", "/users", registration())
    event["body"], event["isBase64Encoded"] = "eyJ9", True
    assert call("register", event).status == 422
    event["body"] = base64.b64encode(json.dumps(registration()).encode()).decode()
    assert call("register", event).status == 201
    assert database.count(users) == 1


@pytest.mark.asvs("2.2.2", "15.2.2")
@pytest.mark.threat("function-slow-input")
def test_a_body_beyond_64_kib_is_refused_unread(database):
    answer = call("register", json_event("POST", "/users", registration(name="a" * LARGEST)))
    assert (answer.status, answer.code) == (413, "request_too_large")
    assert answer.json["title"] == "Content Too Large"
    assert database.count(users) == 0


@pytest.mark.asvs("3.5.1", "3.5.2")
def test_wrong_content_type_returns_415(database):
    types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    for content_type in (*types, "application/jsonp", "", "json"):
        answer = post(GOOD.encode(), **{"Content-Type": content_type})
        assert (answer.status, answer.code) == (415, "unsupported_media_type"), content_type
        assert answer.json["title"] == "Unsupported Media Type"
    assert database.count(users) == 0


@pytest.mark.asvs("3.5.1", "3.5.2")
def test_a_missing_content_type_answers_415(database):
    event = json_event("POST", "/users", registration())
    event["headers"], event["multiValueHeaders"] = {}, {}
    assert call("register", event).status == 415
    assert database.count(users) == 0


@pytest.mark.asvs("1.1.1", "2.2.2")
def test_compressed_body_returns_415_and_names_the_accepted_encoding(database):
    body = gzip.compress(GOOD.encode())
    for encoding in ("gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "gzip,", "x-unknown"):
        answer = post(body, **{"Content-Type": "application/json", "Content-Encoding": encoding})
        assert (answer.status, answer.code) == (415, "unsupported_content_encoding"), encoding
        assert answer.headers["accept-encoding"] == "identity"
    assert database.count(users) == 0


def test_body_encoded_as_identity_is_read(database):
    for number, encoding in enumerate(("identity", "Identity", "", " identity , identity")):
        body = json.dumps(registration(email=f"person{number}@example.com")).encode()
        assert post(body, **{"Content-Type": "application/json", "Content-Encoding": encoding}).status == 201
    assert database.count(users) == 4


any_scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text().map(lambda text: MARK + text)
any_json = st.recursive(
    any_scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
almost_registrations = st.fixed_dictionaries(
    {}, optional={name: any_json | st.just(value) for name, value in registration().items()}
)
# The database fixture serves all examples of one run: whatever was registered, nothing may break.


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("1.2.1", "1.4.2", "2.2.1", "16.5.1")
@given(body=almost_registrations | any_json)
def test_whatever_json_comes_the_answer_is_201_or_a_problem_that_repeats_nothing(database, body):
    before = database.count(users)
    answer = call("register", json_event("POST", "/users", body))
    assert answer.status in {201, 409, 422}
    assert answer.status == 201 or MARK not in answer.text
    assert database.count(users) == before + (answer.status == 201)


@given(body=st.binary(max_size=300))
def test_whatever_bytes_come_the_answer_is_a_problem(database, body):
    assert_refused(database, post(body, **{"Content-Type": "application/json"}), {"body"})

"""Hostile strings through every field, parameter and header: no server error, nothing that is not documented (each
answer is held to docs/openapi.json), nothing repeated by an error, and one log line stays one log line.
"""

import json
import unicodedata
from itertools import count
from urllib.parse import quote

import pytest
from sqlalchemy import update

from auth_common.db.tables import sessions, throttles
from auth_common.settings import Settings
from local_runtime.template import Route
from tests.support.auditors import auditor_token, read_events, read_summary
from tests.support.databases import Database, start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import Account, get_user, log_in, register, sign_up
from tests.support.functions import Answer, authorize, call_authorizer
from tests.support.hostile_strings import STRINGS, spellings
from tests.support.openapi import DOCUMENT
from tests.support.passkeys import begin_login, begin_registration
from tests.support.route_requests import BODIES, name_of, send
from tests.support.routes import ROUTES
from tools.audit import main as audit

pytestmark = [pytest.mark.web, pytest.mark.sqlite]

#: A shorter one is in many a text by chance.
TELLING = 6
numbers = count()


def places(body, path=()):
    """Yield the way to each value of a body, and to one more, under a name that no body has."""
    if isinstance(body, dict):
        yield (*path, None)
        for name, inner in body.items():
            yield (*path, name)
            yield from places(inner, (*path, name))


def put(body, way, text):
    """Return ``body`` with ``text`` in one place; where the way ends in ``None``, as the name of a field."""
    name, *rest = way
    if not rest:
        return {**body, text: text} if name is None else {**body, name: text}
    return {**body, name: put(body[name], rest, text)}


@pytest.fixture(autouse=True)
def large_budgets(database, monkeypatch):
    for name, field in Settings.__dataclass_fields__.items():
        if name.startswith("throttle_") and "_per_" in name:
            monkeypatch.setenv(name.upper(), str(field.metadata["bounds"].greatest))
    start_fresh_environment()


@pytest.fixture(autouse=True)
def one_line_stays_one(log_lines):
    """Hold the log to one printable JSON document a line."""
    yield
    lines = log_lines.text.split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert isinstance(json.loads(line), dict)
        assert line.isascii()
        assert line.isprintable()


def assert_harmless(answer: Answer, text: str) -> None:
    assert answer.status < 500, (answer.text, text)
    if len(text.strip()) < TELLING:
        return
    told = list(answer.headers.values())
    if answer.status >= 400 and answer.text:
        problem = answer.json
        # The name of an unknown field is told to who sent it, where it can do no harm.
        is_harmless = text.isascii() and text.replace("_", "").isalnum()
        told += [problem["detail"], problem["title"]] if is_harmless else [answer.text]
    assert not any(spelling in each for spelling in spellings(text) for each in told), (answer, text)


@pytest.fixture
def context(person: Account) -> dict[str, str]:
    vouched: dict[str, str] = authorize(person.access_token)["context"]
    return vouched


each_route_with_a_body = pytest.mark.parametrize(
    "route", [route for route in ROUTES if name_of(route) in BODIES], ids=name_of
)


def forget_counts(database: Database, route: Route) -> None:
    """Let the session live and begin ceremonies: the fifth wrong proof would revoke it, and each hour has a limit."""
    if route.path in {"/step-up", "/users/{id}/password"}:
        database.execute(update(sessions).values(failed_proofs=0))
    if route.path == "/step-up" or route.path.startswith("/webauthn/register"):
        database.execute(throttles.delete())


def body_of(route: Route) -> bytes | None:
    body = BODIES.get(name_of(route))
    return None if body is None else json.dumps(body).encode()


def test_every_route_that_takes_a_body_has_one_here():
    documented = json.loads(DOCUMENT.read_text())["paths"]
    assert BODIES.keys() == {
        f"{method.upper()} {path}"
        for path, item in documented.items()
        for method, operation in item.items()
        if "requestBody" in operation
    }


#: Fields whose text reaches a statement of SQL as it is.
IN_SQL = {"name", "job_title", "email", "challenge_id", "id", "rawId", "userHandle"}
FIELDS = [
    pytest.param(database, route, way, id=f"{database} {route.path} {'.'.join(map(str, way))}")
    for route in ROUTES
    for way in places(BODIES.get(name_of(route)))
    for database in ("sqlite", *(["postgresql"] if way[-1] in IN_SQL else []))
]


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize(("database", "route", "way"), FIELDS, indirect=["database"])
def test_hostile_strings_in_a_field_are_harmless(database, person, context, route, way):
    """A test for each field: the leak watch knows the strings that were a password in the same test."""
    for text in STRINGS:
        forget_counts(database, route)
        body = dict(BODIES[name_of(route)])
        if "challenge_id" in body and way[0] != "challenge_id":
            ceremony = begin_login() if "login" in route.path else begin_registration(person.access_token)
            body["challenge_id"] = ceremony["challenge_id"]
        if route.path == "/users":
            body["email"] = f"{next(numbers)}@example.com"
        body = put(body, way, text)
        answer = send(route, context if route.authorizer else None, body=json.dumps(body).encode())
        assert_harmless(answer, text)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("field", ["name", "job_title"])
def test_what_is_stored_comes_back_as_it_is_documented(database, field):
    """Composed (NFC) and trimmed, and otherwise to the letter."""
    stored = 0
    for text in STRINGS:
        email = f"{next(numbers)}@example.com"
        answer = register(**{field: text, "email": email})
        assert answer.status in {201, 422}
        if answer.status == 201:
            stored += 1
            expected = unicodedata.normalize("NFC", text).strip()
            user = get_user(answer.json["id"], token=log_in(email).json["access_token"])
            assert answer.json[field] == user.json[field] == expected
    assert stored > 10  # most names of the list are odd, and somebody's


@pytest.mark.parametrize("route", [route for route in ROUTES if "{id}" in route.path], ids=name_of)
def test_hostile_strings_in_a_path_are_harmless(database, context, route):
    for text in filter(None, STRINGS):
        segment = quote(text.encode("utf-8", "surrogatepass"), safe="")
        answer = send(route, context, segment=segment, path_parameters={"id": text}, body=body_of(route))
        assert answer.status in {403, 404}
        assert_harmless(answer, text)


def in_query(text: str) -> str:
    """Return what a gateway makes of ``text`` in a query: percent-encoded UTF-8, and nothing else."""
    return text.encode("utf-8", "surrogatepass").decode(errors="replace")


PARAMETERS = ["from", "to", "event", "outcome", "severity", "user_id", "ip", "reason", "except_reason", "cursor"]


@pytest.mark.parametrize("read", [read_events, read_summary])
def test_hostile_strings_in_a_query_of_the_audit_log_are_harmless(database, read):
    token = auditor_token()
    for name in (*PARAMETERS, None):
        for text in STRINGS:
            answer = read(token, **{in_query(text) if name is None else name: in_query(text)})
            assert answer.status in {200, 422}
            assert_harmless(answer, text)


@pytest.mark.parametrize(("method", "name"), [("GET", "cursor"), ("DELETE", "keep_current")])
def test_in_a_query_of_the_sessions(database, context, method, name):
    route = next(route for route in ROUTES if (route.method, route.path) == (method, "/sessions"))
    for text in STRINGS:
        answer = send(route, context, query={name: in_query(text)})
        assert answer.status == 422
        assert_harmless(answer, text)


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_hostile_strings_as_a_query_parameter_are_rejected(database, context, route):
    # A response names 20 faults.
    for first in range(0, len(STRINGS), 20):
        sent = STRINGS[first : first + 20]
        query = {in_query(text): in_query(text) for text in sent}
        answer = send(route, context if route.authorizer else None, body=body_of(route), query=query)
        assert answer.status == 422
        for text in sent:
            assert_harmless(answer, text)


def carried(text: str) -> str:
    """Return what HTTP can carry of ``text`` in a header field: neither NUL nor line breaks (RFC 9110 section 5.5)."""
    octets = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return octets.translate(dict.fromkeys(map(ord, "\0\r\n")))[:8_000]


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_in_headers(database, route):
    account = sign_up()
    for text in STRINGS:
        forget_counts(database, route)
        value = carried(text)
        sent = (
            "User-Agent",
            "X-Forwarded-For",
            "Authorization",
            "X-Request-Id",
            "Accept",
            "Origin",
            "X-Other",
            "Step-Up-Token",
        )
        context = authorize(account.access_token)["context"] if route.authorizer else None
        answer = send(route, context, body=body_of(route), headers=dict.fromkeys(sent, value), userAgent=text)
        assert_harmless(answer, value)
        if route.path in {"/logout", "/sessions"} and route.method != "GET":
            account = Account(account.id, account.email, log_in(account.email).json["access_token"], "")


@each_route_with_a_body
def test_hostile_strings_as_a_content_type_are_rejected(database, context, route):
    for text in STRINGS:
        value = carried(text)
        caller = context if route.authorizer else None
        answer = send(route, caller, body=body_of(route), headers={"Content-Type": value})
        assert answer.status == 415
        assert_harmless(answer, value)


def test_as_authorization(database):
    for text in STRINGS:
        for value in (carried(text), f"Bearer {carried(text)}", f"{carried(text)} Bearer", text):
            event = proxy_event("GET", "/users/x", headers={"Authorization": value})
            answer = call_authorizer(
                {**event, "type": "REQUEST", "methodArn": "arn:aws:execute-api:r:1:a/local/GET/users/x"}
            )
            assert [each["Effect"] for each in answer["policyDocument"]["Statement"]] == ["Deny"]
            if len(value.strip()) >= TELLING:
                assert value not in json.dumps(answer, ensure_ascii=False)


def test_the_audit_log_shows_nothing_that_moves_a_cursor(database, capsys, log_lines):
    for text in STRINGS:
        register(name=text, email=f"{next(numbers)}@example.com")
        log_in("nobody@example.com", userAgent=text)
    token = auditor_token()
    assert read_events(token).status == 200
    log_lines.text  # noqa: B018 - what was written until now
    for command in (["tail", "-n", "1000"], ["export"], ["export", "--ocsf"]):
        assert audit(command) == 0
        lines = capsys.readouterr().out.split("\n")
        assert len(lines) > len(STRINGS)
        assert all(line.isascii() and line.isprintable() for line in lines)

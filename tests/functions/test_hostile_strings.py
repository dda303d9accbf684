"""Hostile strings through every field, parameter and header.

They cause no server error and no response that docs/openapi.json does not describe. No error repeats them, and one log
line stays one log line. The fields are those of the examples in docs/openapi.json, so a new endpoint is a target too.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from urllib.parse import quote

import pytest
from sqlalchemy import update

from auth_common.accounts.administration import change_role
from auth_common.database.tables import challenges, sessions, throttles
from auth_common.settings import Settings
from local_runtime.template import Route
from tests.support.auditors import auditor_token, read_events, read_summary
from tests.support.databases import Database, start_fresh_environment
from tests.support.events import authorizer_event
from tests.support.factories import Account, get_user, log_in, register
from tests.support.functions import Response, authorize, call_authorizer
from tests.support.hostile_strings import STRINGS, spellings
from tests.support.passkeys import begin_login, begin_registration
from tests.support.route_requests import FORMS, VALID_BODIES, body_of, encode_body, route_name, send_to_route
from tests.support.routes import ROUTES
from tools.operators.audit import main as audit

pytestmark = [pytest.mark.web, pytest.mark.sqlite]

#: A shorter string may be in a response by chance.
MIN_TELLING_CHARACTERS = 6
numbers = count()


def places(body, path=()):
    """Yield the path to each value of a body, and a path that ends in None: the name of a further field."""
    if isinstance(body, dict):
        yield (*path, None)
        for name, inner in body.items():
            yield (*path, name)
            yield from places(inner, (*path, name))


def put(body, way, text):
    """Return ``body`` with ``text`` as the value at a path. If the path ends in None, ``text`` is the field name."""
    name, *rest = way
    if not rest:
        return {**body, text: text} if name is None else {**body, name: text}
    return {**body, name: put(body[name], rest, text)}


@pytest.fixture(autouse=True)
def high_limits(database, monkeypatch):
    for name, field in Settings.__dataclass_fields__.items():
        if name.startswith("throttle_") and "_per_" in name:
            monkeypatch.setenv(name.upper(), str(field.metadata["bounds"].greatest))
    start_fresh_environment()


@pytest.fixture(autouse=True)
def one_line_stays_one(log_lines):
    """Require one printable JSON document in each line of the log."""
    yield
    lines = log_lines.text.split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert isinstance(json.loads(line), dict)
        assert line.isascii()
        assert line.isprintable()


def assert_harmless(answer: Response, text: str) -> None:
    assert answer.status < 500, (answer.text, text)
    if len(text.strip()) < MIN_TELLING_CHARACTERS:
        return
    told = list(answer.headers.values())
    if answer.status >= 400 and answer.text:
        problem = answer.json
        # A response repeats the name of an unknown field if it can do no harm.
        is_harmless = text.isascii() and text.replace("_", "").isalnum()
        shown = [problem[name] for name in ("detail", "title", "error") if name in problem]
        told += shown if is_harmless else [answer.text]
    assert not any(spelling in each for spelling in spellings(text) for each in told), (answer, text)


@pytest.fixture
def context_of(person: Account) -> Callable[[Route], dict[str, str] | None]:
    """Return the authorizer's context for a route, or None for an open route."""
    context = authorize(person.access_token)["context"]
    return lambda route: context if route.authorizer else None


each_route = pytest.mark.parametrize("route", ROUTES, ids=route_name)
each_route_with_a_body = pytest.mark.parametrize(
    "route", [route for route in ROUTES if body_of(route) is not None], ids=route_name
)
#: Routes that revoke the session: by themselves, or because of the fifth wrong proof of identity.
REVOKING = {"/logout", "/sessions", "/step-up", "/users/{id}/password"}


def keep_session(database: Database, route: Route) -> None:
    """Restore the session and its rate limits, as if this route had not been called."""
    if route.path in REVOKING:
        database.execute(update(sessions).values(failed_proofs=0, revoked_at=None))
    if route.path == "/step-up" or route.path.startswith("/webauthn/register"):
        database.execute(throttles.delete())


def encoded_body(route: Route) -> bytes | None:
    body = body_of(route)
    return None if body is None else encode_body(route, body)


#: Fields whose text reaches a statement of SQL as it is.
IN_SQL = {"name", "job_title", "email", "challenge_id", "id", "rawId", "userHandle"}
WAYS = [
    (route, body, way) for route in ROUTES for body in VALID_BODIES.get(route_name(route), []) for way in places(body)
]
#: A plain run tries an eighth of the strings in each place. Neighbouring places get different eighths.
EIGHTH = 8


def portions(number: int) -> Iterator[tuple[str, Sequence[str], list[pytest.MarkDecorator]]]:
    """Yield name, strings and markers of the two tests of a place: those of a plain run, and the others."""
    first = STRINGS[number % EIGHTH :: EIGHTH]
    yield "some", first, []
    yield "others", [text for text in STRINGS if text not in first], [pytest.mark.fuzz]


def fields():
    for number, (route, body, way) in enumerate(WAYS):
        name = f"{route.path} {' '.join(body)} {'.'.join(map(str, way))}"
        for portion, strings, kind in portions(number):
            yield pytest.param("sqlite", route, body, way, strings, id=f"{name} {portion}", marks=kind)
        if way[-1] in IN_SQL:
            kind = [pytest.mark.unmeasured]
            yield pytest.param("postgresql", route, body, way, STRINGS, id=f"postgresql {name}", marks=kind)


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize(("database", "route", "body", "way", "strings"), list(fields()), indirect=["database"])
def test_hostile_strings_in_a_field_are_harmless(database, person, context_of, route, body, way, strings):  # noqa: PLR0917
    """There is a test per field, because the leak watch knows the strings that were a password in the same test."""
    usual = dict(body)
    if "challenge_id" in usual:
        begun = begin_login() if "login" in route.path else begin_registration(person.access_token)
        usual["challenge_id"] = begun["challenge_id"]
    unused = database.execute(challenges.select())
    for text in strings:
        keep_session(database, route)
        if "challenge_id" in usual:
            database.execute(challenges.delete())
            for row in unused:
                database.execute(challenges.insert().values(row._asdict()))
        unique = {"email": f"{next(numbers)}@example.com"} if route.path == "/users" else {}
        answer = send_to_route(route, context_of(route), body=encode_body(route, put(usual | unique, way, text)))
        assert_harmless(answer, text)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_hostile_strings_that_are_stored_are_returned_composed_and_trimmed(database, person):
    """Only NFC composition and trimming change a string."""
    change_role(person.email, "admin")
    token = log_in().json["access_token"]
    returned = Counter[str]()
    for text in STRINGS:
        fields = {"name", "job_title"}
        while fields:  # A request without those that were rejected.
            answer = register(**dict.fromkeys(fields, text), email=f"{next(numbers)}@example.com")
            if answer.status == 201:
                break
            fields = set() if answer.fields == {"body"} else fields - answer.fields
        for field in fields:
            user = get_user(answer.json["id"], token=token)
            assert answer.json[field] == user.json[field] == unicodedata.normalize("NFC", text).strip()
        returned.update(fields)
    assert min(returned["name"], returned["job_title"]) > 10


@pytest.mark.parametrize("route", [route for route in ROUTES if "{id}" in route.path], ids=route_name)
def test_hostile_strings_in_a_path_are_harmless(database, context_of, route):
    for text in filter(None, STRINGS):
        segment = quote(text.encode("utf-8", "surrogatepass"), safe="")
        answer = send_to_route(
            route, context_of(route), segment=segment, path_parameters={"id": text}, body=encoded_body(route)
        )
        assert answer.status in {403, 404}
        assert_harmless(answer, text)


def in_query(text: str) -> str:
    """Return ``text`` as a gateway decodes it from the percent-encoded UTF-8 of a query."""
    return text.encode("utf-8", "surrogatepass").decode(errors="replace")


#: The cursor is missing, because it is validated separately.
FILTERS = ["from", "to", "event", "outcome", "severity", "user_id", "ip", "reason", "except_reason"]


@pytest.mark.parametrize(("read", "names"), [(read_events, FILTERS), (read_summary, FILTERS[:2])])
def test_hostile_strings_in_a_query_of_the_audit_log_are_harmless(database, read, names):
    """A response names each parameter that rejects the string. The others get it in separate requests."""
    token = auditor_token()
    for text in STRINGS:
        value = in_query(text)
        answer = read(token, **dict.fromkeys(names, value))
        left = set(names) - (answer.fields if answer.status == 422 else set())
        answers = [read(token, **{name: value}) for name in (*left, *(["cursor"] if read is read_events else []))]
        for each in (answer, *answers):
            assert each.status in {200, 422}
            assert_harmless(each, text)


@pytest.mark.parametrize(("method", "name"), [("GET", "cursor"), ("DELETE", "keep_current")])
def test_hostile_strings_in_a_query_of_the_sessions_are_rejected(context_of, method, name):
    route = next(route for route in ROUTES if (route.method, route.path) == (method, "/sessions"))
    for text in STRINGS:
        answer = send_to_route(route, context_of(route), query={name: in_query(text)})
        assert answer.status == 422
        assert_harmless(answer, text)


@each_route
def test_hostile_strings_as_a_query_parameter_are_rejected(context_of, route):
    # A response names 20 faults.
    for first in range(0, len(STRINGS), 20):
        sent = STRINGS[first : first + 20]
        query = {in_query(text): in_query(text) for text in sent}
        answer = send_to_route(route, context_of(route), body=encoded_body(route), query=query)
        assert answer.status == (400 if route_name(route) in FORMS else 422)
        for text in sent:
            assert_harmless(answer, text)


def carried(text: str) -> str:
    """Return ``text`` without the characters that HTTP forbids in a header field (RFC 9110 section 5.5)."""
    octets = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return octets.translate(dict.fromkeys(map(ord, "\0\r\n")))[:8_000]


HEADERS = [
    *("User-Agent", "X-Forwarded-For", "X-Client-IP", "X-Proxy-Lock", "Authorization", "X-Request-Id"),
    *("Accept", "Origin", "X-Other", "Step-Up-Token"),
]


def routes_with_strings():
    for number, route in enumerate(ROUTES):
        for portion, strings, kind in portions(number):
            yield pytest.param(route, strings, id=f"{route_name(route)} {portion}", marks=kind)


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize(("route", "strings"), list(routes_with_strings()))
def test_hostile_strings_in_headers_are_harmless(database, context_of, route, strings):
    for text in strings:
        keep_session(database, route)
        headers = dict.fromkeys(HEADERS, carried(text))
        answer = send_to_route(route, context_of(route), body=encoded_body(route), headers=headers, userAgent=text)
        assert_harmless(answer, carried(text))


@each_route_with_a_body
def test_hostile_strings_as_a_content_type_are_rejected(context_of, route):
    for text in STRINGS:
        value = carried(text)
        answer = send_to_route(route, context_of(route), body=encoded_body(route), headers={"Content-Type": value})
        assert answer.status == (400 if route_name(route) in FORMS else 415)
        assert_harmless(answer, value)


def test_hostile_strings_as_authorization_are_denied(database):
    for text in STRINGS:
        for value in (carried(text), f"Bearer {carried(text)}", f"{carried(text)} Bearer", text):
            answer = call_authorizer(authorizer_event(value))
            assert [each["Effect"] for each in answer["policyDocument"]["Statement"]] == ["Deny"]
            if len(value.strip()) >= MIN_TELLING_CHARACTERS:
                assert value not in json.dumps(answer, ensure_ascii=False)


def test_hostile_strings_in_the_audit_log_are_shown_as_printable_ascii(database, capsys, log_lines):
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

"""Hostile strings through every field, parameter and header.

They cause no server error and no response that docs/openapi.json does not describe. No error repeats them, and one log
line stays one log line. The fields are those of the examples in docs/openapi.json, so a new endpoint is a target too.
"""

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count, groupby
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Executable, update

from auth_common.accounts.administration import change_role
from auth_common.database.tables import challenges, passkeys, sessions, throttles, users
from auth_common.settings import Settings
from local_runtime.template import Route
from tests.support.auditors import auditor_token, read_events, read_summary
from tests.support.databases import Database, start_fresh_environment
from tests.support.events import authorizer_event
from tests.support.factories import Account, get_user, log_in, register
from tests.support.functions import Response, authorize, call_authorizer
from tests.support.hostile_strings import HOSTILE, STRINGS, spellings
from tests.support.leaks import secrets_in
from tests.support.openapi import DOCUMENT
from tests.support.passkeys import begin_and_answer_registration, enrol
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


def assert_harmless(answer: Response, text: str, place: object = None) -> None:
    assert answer.status < 500, (answer.text, text, place)
    if len(text.strip()) < MIN_TELLING_CHARACTERS:
        return
    told = list(answer.headers.values())
    if answer.status >= 400 and answer.text:
        problem = answer.json
        # A response repeats the name of an unknown field if it can do no harm.
        is_harmless = text.isascii() and text.replace("_", "").isalnum()
        shown = [problem[name] for name in ("detail", "title", "error") if name in problem]
        told += shown if is_harmless else [answer.text]
    assert not any(spelling in each for spelling in spellings(text) for each in told), (answer, text, place)


@pytest.fixture
def context_of(person: Account) -> Callable[[Route], dict[str, str] | None]:
    """Return the authorizer's context for a route, or None for an open route."""
    context = authorize(person.access_token)["context"]
    return lambda route: context if route.authorizer else None


#: The routes of each function. Its routes have one test, because a new database and a login take longer than requests.
ROUTES_OF = [list(routes) for _, routes in groupby(ROUTES, lambda route: route.function.folder.name)]


def each_function(*, only: Callable[[Route], object] = lambda _: True) -> pytest.MarkDecorator:
    """Parametrize a test with the routes of each function for which ``only`` returns something true."""
    chosen = [list(filter(only, routes)) for routes in ROUTES_OF]
    return pytest.mark.parametrize("routes", list(filter(None, chosen)), ids=function_name)


def function_name(routes: list[Route]) -> str:
    return routes[0].function.folder.name


#: Routes that revoke the session: by themselves, or because of the fifth wrong proof of identity.
REVOKING = {"/logout", "/sessions", "/step-up", "/users/{id}/password"}


def keep_session(database: Database, route: Route) -> None:
    """Restore the session, as if this route had not been called."""
    if route.path in REVOKING:
        database.execute(update(sessions).values(failed_proofs=0, revoked_at=None))


def send_within_limits(database: Database, route: Route, context: dict[str, str] | None, **options: Any) -> Response:
    """Send a request. If a rate limit rejects it, the code after the limit has not seen it, so send it again."""
    answer = send_to_route(route, context, **options)
    if answer.status != 429:
        return answer
    database.execute(throttles.delete())
    return send_to_route(route, context, **options)


def encoded_body(route: Route) -> bytes | None:
    body = body_of(route)
    return None if body is None else encode_body(route, body)


#: Fields whose text reaches a statement of SQL as it is. PostgreSQL gets all strings.
IN_SQL = {"name", "job_title"}
#: Fields whose text must be valid, or is decoded, before it reaches a statement. PostgreSQL gets the strings that its
#: statements and texts do not allow, and strings that are valid base64url.
VALID_IN_SQL = {"email", "challenge_id", "id", "rawId", "userHandle"}
FOR_POSTGRESQL = {
    text for kind in ("SQL", "not text", "control", "names of programming languages") for text in HOSTILE[kind]
}
#: A plain run tries an eighth of the strings in each place. Neighbouring places get different eighths.
EIGHTH = 8


def portions(number: int) -> dict[str, list[str]]:
    """Return the strings of the two tests of a place: those of a plain run, and the others."""
    some = STRINGS[number % EIGHTH :: EIGHTH]
    return {"some": list(some), "others": [text for text in STRINGS if text not in some]}


#: The markers of the two tests.
MARKS: dict[str, list[pytest.MarkDecorator]] = {"some": [], "others": [pytest.mark.fuzz]}


def is_tested_elsewhere(route: Route, way: tuple[Any, ...], tested: set[tuple[Any, ...]]) -> bool:
    """Return whether the code of another place is the same, so that an eighth of the strings is enough here.

    Two bodies of a route have one model, so the same validation. The login and the step-up verify the response of a
    passkey by the same code, and before that the step-up reads only which passkey it is.
    """
    is_verified_as_in_a_login = route.path == "/step-up" and way[0] == "credential" and way[-1] not in VALID_IN_SQL
    return way in tested or (is_verified_as_in_a_login and len(way) > 1)


def fields():
    """Yield the tests of the values of each body.

    The leak watch knows the strings that were a password or a token in the same test, and a log may contain the values
    of other fields. So the secrets of a body have a test of their own.
    """
    numbers = count()
    for route in ROUTES:
        tested: set[tuple[Any, ...]] = set()
        for body in VALID_BODIES.get(route_name(route), []):
            tests = defaultdict(list)
            for way in places(body):
                if way[-1] is None:
                    continue
                strings = portions(next(numbers))
                kept = ["some"] if is_tested_elsewhere(route, way, tested) else list(strings)
                tested.add(way)
                kind = "secrets" if any(secrets_in({way[-1]: "x"})) else "values"
                for portion in kept:
                    tests["sqlite", kind, portion].append((way, strings[portion]))
                if way[-1] in IN_SQL | VALID_IN_SQL:
                    texts = [text for portion in kept for text in strings[portion]]
                    if way[-1] in VALID_IN_SQL:
                        texts = [text for text in texts if text in FOR_POSTGRESQL]
                    tests["postgresql", kind, "all"].append((way, texts))
            for (kind_of_database, kind, portion), sent in tests.items():
                marks = MARKS[portion] if kind_of_database == "sqlite" else [pytest.mark.unmeasured]
                name = f"{kind_of_database} {route.path} {' '.join(body)} {kind} {portion}"
                yield pytest.param(kind_of_database, route, body, sent, id=name, marks=marks)


def begin_ceremony(route: Route, person: Account) -> dict[str, Any]:
    """Return the members of a body that completes a ceremony with a passkey, as a genuine client would send them."""
    if route.path == "/webauthn/register/complete":
        begun, credential = begin_and_answer_registration(person.access_token)
        return {"challenge_id": begun["challenge_id"], "credential": credential}
    holder = enrol(person)
    if route.path == "/step-up":
        return holder.begin_and_answer_step_up(person.access_token)
    begun, credential = holder.begin_and_answer_login()
    return {"challenge_id": begun["challenge_id"], "credential": credential}


def restoring(database: Database) -> list[Executable]:
    """Return the statements that restore the users, sessions, passkeys and challenges of this moment."""
    statements: list[Executable] = [
        update(table).where(table.c.id == row.id).values(row._asdict())
        for table in (users, sessions)
        for row in database.execute(table.select())
    ]
    for table in (passkeys, challenges):
        statements.append(table.delete())
        if rows := [row._asdict() for row in database.execute(table.select())]:
            statements += [table.insert().values(row) for row in rows]
    return statements


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize(("database", "route", "body", "sent"), list(fields()), indirect=["database"])
def test_hostile_strings_in_fields_are_harmless(database, person, context_of, route, body, sent):  # noqa: PLR0917
    own = {"segment": person.id, "path_parameters": {"id": person.id}} if route.path.startswith("/users/{id}") else {}
    usual = body | begin_ceremony(route, person) if "challenge_id" in body else body
    statements = restoring(database) if "challenge_id" in body or route.path in REVOKING else []
    for way, text in ((way, text) for way, strings in sent for text in strings):
        if statements:
            database.execute(*statements)
        unique = {"email": f"{next(numbers)}@example.com"} if route.path == "/users" else {}
        changed = encode_body(route, put(usual | unique, way, text))
        assert_harmless(send_within_limits(database, route, context_of(route), body=changed, **own), text, way)


def names_of_fields():
    for route in ROUTES:
        for body in VALID_BODIES.get(route_name(route), []):
            ways = [way for way in places(body) if way[-1] is None]
            yield pytest.param(route, body, ways, id=f"{route.path} {' '.join(body)}")


def needs_own_request(route: Route, text: str) -> bool:
    """Return whether the service may reject the whole body because of ``text``, without reading its other fields.

    Many strings make a form invalid. JSON is invalid if it has half a surrogate pair.
    """
    return route_name(route) in FORMS or any(unicodedata.category(character) == "Cs" for character in text)


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize(("route", "body", "ways"), list(names_of_fields()))
def test_hostile_strings_as_names_of_fields_are_harmless(database, context_of, route, body, ways):
    """A request has at most 20 names, because a response names 20 faults.

    Each long string is in another request, because a body has at most 64 KiB.
    """
    alone = [text for text in STRINGS if needs_own_request(route, text)]
    together = [text for text in STRINGS if text not in alone]
    requests = [[text] for text in alone] + [together[first::6] for first in range(6) if together]
    usual = send_to_route(route, context_of(route), body=encode_body(route, body))
    for way, texts in ((way, texts) for way in ways for texts in requests):
        changed = body
        for text in texts:
            changed = put(changed, way, text)
        keep_session(database, route)
        answer = send_within_limits(database, route, context_of(route), body=encode_body(route, changed))
        for text in texts:
            assert_harmless(answer, text, way)
        # The service has read each name: it ignores the names, or rejects each.
        if len(texts) > 1 and len(way) > 1:
            assert answer.status == usual.status
        elif len(texts) > 1:
            assert {fault["message"] for fault in answer.json["errors"]} == {"is not a field of this request"}


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


@each_function(only=lambda route: "{id}" in route.path)
def test_hostile_strings_in_a_path_are_harmless(database, context_of, routes):
    for route, text in ((route, text) for route in routes for text in filter(None, STRINGS)):
        segment = quote(text.encode("utf-8", "surrogatepass"), safe="")
        answer = send_to_route(
            route, context_of(route), segment=segment, path_parameters={"id": text}, body=encoded_body(route)
        )
        assert answer.status in {403, 404}, (route, text)
        assert_harmless(answer, text, route)


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


@each_function()
def test_hostile_strings_as_a_query_parameter_are_rejected(context_of, routes):
    # A response names 20 faults.
    for route, first in ((route, first) for route in routes for first in range(0, len(STRINGS), 20)):
        sent = STRINGS[first : first + 20]
        query = {in_query(text): in_query(text) for text in sent}
        answer = send_to_route(route, context_of(route), body=encoded_body(route), query=query)
        assert answer.status == (400 if route_name(route) in FORMS else 422), route
        for text in sent:
            assert_harmless(answer, text, route)


def carried(text: str) -> str:
    """Return ``text`` without the characters that HTTP forbids in a header field (RFC 9110 section 5.5)."""
    octets = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return octets.translate(dict.fromkeys(map(ord, "\0\r\n")))[:8_000]


HEADERS = [
    *("User-Agent", "X-Forwarded-For", "X-Client-IP", "X-Proxy-Lock", "Authorization", "X-Request-Id"),
    *("Accept", "Accept-Language", "Origin", "X-Other", "Step-Up-Token"),
]


PATHS = json.loads(DOCUMENT.read_text())["paths"]


def read_headers(route: Route) -> tuple[str, ...]:
    """Return what the routes of a function with the same code for headers have in common."""
    operation = PATHS[route.path][route.method.lower()]
    own = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"]
    return json.dumps(operation.get("security")), *own


def headers_of_functions():
    """Yield the tests of each function. A route gets an eighth of the strings if another has the same code."""
    numbers = count()
    for routes in ROUTES_OF:
        tests, tested = defaultdict(list), set()
        for route in routes:
            strings = portions(next(numbers))
            for portion in ["some"] if read_headers(route) in tested else strings:
                tests[portion].append((route, strings[portion]))
            tested.add(read_headers(route))
        for portion, sent in tests.items():
            yield pytest.param(sent, id=f"{function_name(routes)} {portion}", marks=MARKS[portion])


@pytest.mark.threat("function-injection")
@pytest.mark.parametrize("sent", list(headers_of_functions()))
def test_hostile_strings_in_headers_are_harmless(database, context_of, sent):
    for route, text in ((route, text) for route, strings in sent for text in strings):
        keep_session(database, route)
        headers = dict.fromkeys(HEADERS, carried(text))
        options = {"body": encoded_body(route), "headers": headers, "userAgent": text}
        answer = send_within_limits(database, route, context_of(route), **options)
        assert_harmless(answer, carried(text), route)


@each_function(only=lambda route: body_of(route) is not None)
def test_hostile_strings_as_a_content_type_are_rejected(context_of, routes):
    for route, text in ((route, text) for route in routes for text in STRINGS):
        value = carried(text)
        answer = send_to_route(route, context_of(route), body=encoded_body(route), headers={"Content-Type": value})
        assert answer.status == (400 if route_name(route) in FORMS else 415), (route, text)
        assert_harmless(answer, value, route)


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

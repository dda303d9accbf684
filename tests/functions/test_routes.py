"""The contract of every route of the template: which callers, methods, paths and query parameters it accepts."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

import pytest
from sqlalchemy import delete, select, update

from auth_common.accounts import administration as accounts
from auth_common.database import tables
from auth_common.database.tables import audit_events, audit_salts, metadata, sessions, users
from tests.support.databases import start_fresh_environment
from tests.support.events import json_event, proxy_event
from tests.support.factories import EMAIL, PASSWORD, erase, log_out, sign_up
from tests.support.functions import Response, authorize, call
from tests.support.passkeys import begin_and_answer_registration, complete_registration, enrol
from tests.support.route_requests import FORMS, body_of, encode_body, route_name, send_to_route
from tests.support.routes import PROTECTED, ROUTES
from tests.support.well_known import SETTINGS

pytestmark = [pytest.mark.web, pytest.mark.sqlite]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
REJECTED = (401, "invalid_token", 'Bearer error="invalid_token"')
ALL_REJECTED = {route_name(route): REJECTED for route in PROTECTED}


@pytest.fixture
def holder(database):
    """An admin with a verified address and a passkey. After a login with it, the admin may use every route."""
    holder = enrol()
    accounts.mark_email_verified(EMAIL)
    accounts.change_role(EMAIL, "admin")
    return holder


@pytest.fixture
def token(holder):
    """The access token of that admin."""
    return holder.log_in().json["access_token"]


@pytest.fixture
def context(token):
    """The context of the authorizer for that token."""
    return authorize(token)["context"]


def request(route, context, **options):
    """Send a request that is valid in form, for the caller's own user and session."""
    body = body_of(route)
    own = context or {}
    segment = str((own.get("session_id") if "sessions" in route.path else own.get("user_id")) or "x")
    parameters = {"id": segment} if "{id}" in route.path else None
    encoded = None if body is None else encode_body(route, body)
    return send_to_route(route, context, segment=segment, path_parameters=parameters, body=encoded, **options)


def outcomes(context):
    """Return the problem that each protected route returns."""
    answers = {route_name(route): request(route, context) for route in PROTECTED}
    return {name: (each.status, each.code, each.headers.get("www-authenticate")) for name, each in answers.items()}


#: The tables with a user's rows. Each comes after the tables that it refers to.
EVERYTHING = [users, audit_salts, sessions, tables.refresh_tokens, tables.passkeys, tables.challenges]


def stored(database):
    return [database.execute(select(table)) for table in EVERYTHING]


# --- Which callers are accepted ---------------------------------------------------------------------------------------


def test_protected_routes_accept_a_valid_context(holder):
    """Without this test each test below could pass for a wrong reason."""
    for route in PROTECTED:
        pair = holder.log_in_with_passkey_alone().json
        context = authorize(pair["access_token"])["context"]
        headers = {"Step-Up-Token": pair["step_up_token"]}
        assert request(route, context, headers=headers).status in {200, 202, 204, 400, 404}, route_name(route)


@pytest.mark.asvs("8.3.1", "16.5.3")
@pytest.mark.threat("gateway-open-route")
@pytest.mark.usefixtures("environment")
def test_protected_routes_without_an_authorizer_reject_the_caller():
    for context in (None, {}, {"principalId": "x"}, {"user_id": "x"}):
        assert outcomes(context) == ALL_REJECTED, context
    for route in PROTECTED:
        event = json_event(route.method, route.path, {})
        event["requestContext"]["authorizer"] = None
        assert call(route.function.folder.name, event).code == "invalid_token", route_name(route)


@pytest.mark.asvs("4.1.3", "8.3.1")
@pytest.mark.threat("gateway-forged-context")
@pytest.mark.parametrize("member", ["user_id", "session_id", "token_version", "expires_at"])
def test_protected_routes_reject_a_malformed_context(database, context, member):
    before = stored(database)
    values: list[object] = [None, "", "x", "[]", "9" * 5_000, {}]
    for value in values:
        assert outcomes({**context, member: value}) == ALL_REJECTED, value
    without = {name: value for name, value in context.items() if name != member}
    assert outcomes(without) == ALL_REJECTED
    assert stored(database) == before


@pytest.mark.asvs("8.3.3", "10.3.2")
@pytest.mark.threat("gateway-forged-context")
def test_protected_routes_reject_a_session_of_another_user(database, context):
    other = sign_up("other@example.com")
    before = stored(database)
    assert outcomes({**context, "user_id": other.id}) == ALL_REJECTED
    assert stored(database) == before


@pytest.mark.asvs("9.2.1")
@pytest.mark.threat("authorizer-stale-token")
def test_protected_routes_reject_a_context_that_expired_in_the_gateways_cache(database, context):
    before = stored(database)
    assert outcomes({**context, "expires_at": str(int(time.time()) - 31)}) == ALL_REJECTED
    assert stored(database) == before
    within_leeway = {**context, "expires_at": str(int(time.time()) - 5)}
    assert {request(route, within_leeway).status for route in PROTECTED if route.method == "GET"} == {200}


ENDS = {
    "session revoked": lambda database, _: database.execute(update(sessions).values(revoked_at=LONG_AGO)),
    "session expired": lambda database, _: database.execute(update(sessions).values(expires_at=LONG_AGO)),
    "user disabled": lambda database, _: database.execute(update(users).values(status="disabled")),
    "token version raised": lambda database, _: database.execute(
        update(users).values(token_version=users.c.token_version + 1)
    ),
    "logged out": lambda _, token: log_out(token),
    "disabled by an operator": lambda *_: accounts.disable_user(EMAIL),
    "sessions ended by an operator": lambda *_: accounts.revoke_sessions_of(EMAIL),
    "user erased": lambda *_: erase(),
    "database replaced": lambda database, _: [database.execute(delete(table)) for table in reversed(EVERYTHING)],
}


@pytest.mark.asvs("7.2.1", "7.4.1", "7.4.2", "8.3.2")
@pytest.mark.threat("authorizer-stale-token")
@pytest.mark.aurora_dsql
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_protected_routes_reject_a_caller_whose_session_is_not_valid(database, token, context, end):
    """The token has not expired, and the gateway would accept it."""
    end(database, token)
    before = stored(database)
    assert outcomes(context) == ALL_REJECTED
    assert stored(database) == before


@pytest.mark.asvs("2.3.1", "9.2.2")
@pytest.mark.threat("authorizer-other-token-type")
def test_protected_routes_reject_another_bearer_token(holder):
    account = holder.account
    for bearer in (holder.get_mfa_token(), account.refresh_token, "null", account.access_token[:-10]):
        for route in PROTECTED:
            answer = authorize(bearer, method=route.method, path=route.path.replace("{id}", account.id))
            (statement,) = answer["policyDocument"]["Statement"]
            assert statement["Effect"] == "Deny", route_name(route)
            # The function rejects the request too, because it has no context of the authorizer.
            assert request(route, answer.get("context")).code == "invalid_token", route_name(route)


@pytest.mark.usefixtures("environment")
def test_open_routes_without_shared_storage_name_the_command_to_run(monkeypatch):
    """Under a plain ``sam local start-api`` each container would have a database of its own."""
    monkeypatch.setenv("DATA_DIR", "/nowhere")
    for route in ROUTES:
        if route.method != "HEAD" and not route.authorizer and route.function.folder.name != "well_known":
            answer = request(route, None)
            code = "temporarily_unavailable" if route_name(route) in FORMS else "storage_not_mounted"
            assert (answer.status, answer.code) == (503, code), route_name(route)
            assert "make sam" in answer.text
            assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("5", "no-store")


# --- How an id may be spelled -----------------------------------------------------------------------------------------

#: RFC 9562 section 4: an id has hexadecimal digits in small letters or capitals, and hyphens.
SPELLINGS = {"capitals": str.upper, "both": lambda key: "".join(map(str.upper, key[:18])) + key[18:]}
NOT_AN_ID = {
    "braces": "{{{}}}".format,
    "a URN": "urn:uuid:{}".format,
    "no hyphens": lambda key: key.replace("-", ""),
    "other hyphens": lambda key: key.replace("-", "")[:16] + "-" + key.replace("-", "")[16:],
    "a blank": "{} ".format,
    "full width": lambda key: "".join(chr(ord(each) + 0xFEE0) if each.isdigit() else each for each in key),
}


def complete_registration_by(holder, spell):
    token = holder.log_in().json["access_token"]
    ceremony, credential = begin_and_answer_registration(token)
    return complete_registration(token, {"challenge_id": spell(ceremony["challenge_id"])}, credential)


def in_path(holder, spell, name, identifier):
    (route,) = (route for route in ROUTES if route_name(route) == name)
    pair = holder.log_in().json
    context, headers = authorize(pair["access_token"])["context"], {"Step-Up-Token": pair["step_up_token"]}
    segment, body = spell(identifier(holder, context)), dict(body_of(route) or {})
    if "current_password" in body:
        body["current_password"] = PASSWORD
    content = json.dumps(body).encode() if body else None
    return send_to_route(
        route, context, segment=quote(segment), path_parameters={"id": segment}, body=content, headers=headers
    )


BY_ID: dict[str, Callable[..., Response]] = {
    "GET /users/{id}": partial(in_path, identifier=lambda holder, _: holder.account.id),
    "PUT /users/{id}/email": partial(in_path, identifier=lambda holder, _: holder.account.id),
    "PUT /users/{id}/password": partial(in_path, identifier=lambda holder, _: holder.account.id),
    "DELETE /sessions/{id}": partial(in_path, identifier=lambda _, context: context["session_id"]),
    "PATCH /webauthn/credentials/{id}": partial(in_path, identifier=lambda holder, _: holder.passkey_id),
    "DELETE /webauthn/credentials/{id}": partial(in_path, identifier=lambda holder, _: holder.passkey_id),
    "POST /webauthn/register/complete": lambda holder, spell, _: complete_registration_by(holder, spell),
}


def test_every_route_with_an_id_is_listed():
    # The challenge of a login is signed, so its id is no UUID.
    with_body = {route_name(route) for route in ROUTES if "challenge_id" in (body_of(route) or {})}
    with_path = {route_name(route) for route in ROUTES if "{id}" in route.path}
    assert BY_ID.keys() == with_path | with_body - {"POST /webauthn/login/complete"}


@pytest.mark.parametrize("name", BY_ID)
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_id_in_capitals_is_accepted(holder, name, spell):
    answer = BY_ID[name](holder, spell, name)
    assert answer.status in {200, 201, 202, 204}, answer.text


@pytest.mark.parametrize("name", BY_ID)
def test_id_in_a_spelling_that_rfc_9562_does_not_allow_is_rejected(holder, name):
    for kind, spell in NOT_AN_ID.items():
        assert BY_ID[name](holder, spell, name).status in {400, 403, 404}, kind


# --- Which methods, paths and query parameters there are --------------------------------------------------------------

PATHS = {route.path: {each.method for each in ROUTES if each.path == route.path} for route in ROUTES}
FUNCTIONS = {route.path: route.function.folder.name for route in ROUTES}
#: Header fields that differ from one request to the next, or with the body.
VARYING = {"content-length", "x-request-id"}
#: A response to HEAD has no body, so it cannot name a fault.
WITH_BODY = [route for route in ROUTES if route.method != "HEAD"]


@pytest.mark.asvs("3.5.3")
def test_get_changes_nothing(database, context, monkeypatch):
    """A link, an image or another site's page gains nothing from a GET (ASVS 5.0 3.5.3)."""
    # The audit log records that an admin reads the data of others. The record needs the admin's salt.
    compared = [table for table in metadata.sorted_tables if table not in (audit_events, audit_salts)]
    before = [sorted(map(repr, database.execute(select(table)))) for table in compared]
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    start_fresh_environment()
    for route in ROUTES:
        if route.method == "GET":
            answer = request(route, context if route.authorizer else None)
            assert answer.status == (302 if route.path == "/.well-known/change-password" else 200), route_name(route)
    assert [sorted(map(repr, database.execute(select(table)))) for table in compared] == before


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]


@pytest.mark.asvs("3.5.3", "4.1.4", "13.4.4")
@pytest.mark.usefixtures("environment")
def test_method_that_no_route_has_returns_405_and_names_the_others():
    for path, methods in PATHS.items():
        for method in set(METHODS) - methods:
            answer = call(FUNCTIONS[path], json_event(method, path.replace("{id}", "1"), {}), is_routed=False)
            assert answer.status == 405, (method, path)
            assert method == "HEAD" or answer.code == "method_not_allowed"
            assert set(answer.headers["allow"].split(", ")) == methods, (method, path)


def test_head_returns_the_status_and_headers_of_get_without_a_body(database, monkeypatch):
    """Each GET that needs no token has a HEAD (RFC 9110 section 9.1): monitors and security.txt checkers send it."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    start_fresh_environment()
    found: dict[str, list[str]] = {"GET": [], "HEAD": []}
    for route in ROUTES:
        if route.method in found and not route.authorizer:
            for query in (None, {"invented": "1"}):
                head = call(route.function.folder.name, proxy_event("HEAD", route.path, query=query))
                get = call(route.function.folder.name, proxy_event("GET", route.path, query=query))
                of_get, of_head = (
                    (each.status, {name: text for name, text in each.headers.items() if name not in VARYING})
                    for each in (get, head)
                )
                assert (of_head, head.text) == (of_get, ""), route.path
                assert (get.status == 422) == (query is not None), route.path
            found[route.method].append(route.path)
    assert sorted(found["GET"]) == sorted(found["HEAD"])


@pytest.mark.usefixtures("environment")
def test_path_that_no_route_has_returns_404():
    found = {}
    for route in WITH_BODY:
        path = route.path.replace("{id}", "1")
        others = [f"{path}/", f"/{path}", path.swapcase(), f"{path}/..{path}", "/", "/docs", "/openapi.json"]
        for other in others:
            answer = call(route.function.folder.name, json_event(route.method, other, {}), is_routed=False)
            found[route_name(route), other] = (answer.status, answer.code)
    assert {key: outcome for key, outcome in found.items() if outcome != (404, "not_found")} == {}


#: Names that could do harm where they are shown.
HARMFUL = ["<script>ec7h0</script>", "ec7h0\r\nSet-Cookie: a=b", "ec7h0" * 20, "ec7h0é", "ec7h0\u202e", "ec7h0 "]


def rejected_fields(answer):
    """Return the rejected parameters. A route of OAuth names them in a text."""
    if "errors" in answer.json:
        return [error["field"] for error in answer.json["errors"]]
    return [fault.partition(":")[0] for fault in answer.json["error_description"].split("; ")]


@pytest.mark.asvs("2.2.1", "15.3.7")
def test_unknown_query_parameter_on_any_route_is_named_if_harmless_and_changes_nothing(database, context):
    before = stored(database)
    found = {}
    for route in WITH_BODY:
        for query in ({"invented": "ec7h0"}, dict.fromkeys(HARMFUL, ""), {f"x{n}": "1" for n in range(1_000)}):
            answer = request(route, context if route.authorizer else None, query=query)
            fields = rejected_fields(answer)
            outcome = (answer.status, answer.code, "ec7h0" in answer.text, len(fields), fields[0])
            found[route_name(route), len(query)] = outcome
    rejected = {1: (1, "invented"), len(HARMFUL): (1, "query"), 1_000: (20, "x0")}
    for (name, size), outcome in found.items():
        error = (400, "invalid_request") if name in FORMS else (422, "validation_failed")
        assert outcome == (*error, False, *rejected[size]), name
    assert stored(database) == before


def test_misspelt_query_parameter_revokes_no_session(database, context):
    before = stored(database)
    (route,) = (route for route in ROUTES if (route.method, route.path) == ("DELETE", "/sessions"))
    for query in ({"keep_curent": "true"}, {"keep_current": "true", "Keep_Current": "1"}, {"": ""}):
        assert request(route, context, query=query).code == "validation_failed", query
    assert stored(database) == before

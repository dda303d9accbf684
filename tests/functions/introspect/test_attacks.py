"""Attacks with POST /introspect: as an oracle about tokens of other services, and with other secrets."""

import time
from uuid import UUID

import pytest
from sqlalchemy import select, update

from auth_common.clients.registration import remove_client, rotate_credential
from auth_common.database.tables import sessions, throttles
from auth_common.tokens.service_tokens import issue_service_token
from tests.functions.introspect.conftest import BILLING, ORDERS
from tests.functions.introspect.test_introspect import INACTIVE, LONG_AGO, decode, refresh_for
from tests.support.clients import (
    assertion,
    basic,
    ec_key,
    register_client,
    request_token,
    send_form,
    with_assertion,
)
from tests.support.factories import sign_up
from tests.support.forged_tokens import ABSENT, forger_with_stolen_key
from tests.support.outages import on_each_statement
from tests.support.passkeys import enrol
from tests.support.races import send_at_once
from tests.support.throttles import recorded_failures, use_limits

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]


@pytest.fixture
def foreign(resources):
    """A valid token for another service than the client's."""
    return refresh_for(sign_up(), BILLING)["access_token"]


def statements_of(request):
    statements = []
    with on_each_statement(lambda text, _: statements.append(text)):
        answer = request()
    return answer, statements


# --- An oracle about tokens of other services -------------------------------------------------------------------------


@pytest.mark.asvs("9.2.3", "10.3.1")
@pytest.mark.threat("introspection-oracle")
def test_client_of_another_audience_learns_nothing_about_a_valid_token(ask, foreign, log_lines):
    answer = ask(foreign)
    assert (answer.status, answer.json) == (200, INACTIVE)
    (event,) = [event for event in log_lines.security_events if event["name"] == "authz_introspection_fail"]
    assert (event["reason"], event["client"], event["outcome"]) == ("other_audience", "orders", "failure")
    assert "subject" in event
    own = sign_up("own@example.com").access_token
    assert ask(own).json == INACTIVE


def forged(header=None, **claims):
    """Return a token that an attacker with the signing key has made."""
    forger = forger_with_stolen_key()
    return forger.token(forger.header(**(header or {})), forger.claims(**claims))


def service_token(name, audience):
    return issue_service_token(
        subject=f"client:{name}", client_id=name, audience=audience, scope=None, now=int(time.time())
    )


def inactive_tokens(database, live, foreign):
    """Return an inactive token for each reason."""
    revoked = refresh_for(sign_up("revoked@example.com"), ORDERS)["access_token"]
    session_id = UUID(decode(revoked)["sid"])
    database.execute(update(sessions).where(sessions.c.id == session_id).values(revoked_at=LONG_AGO))
    header, claims, signature = live["access_token"].split(".")
    return {
        "foreign": foreign,
        "for this service": sign_up("own@example.com").access_token,
        "revoked": revoked,
        "without a session": forged(aud=ORDERS),
        "another signature": f"{header}.{claims}.{signature[:-2]}AA",
        "malformed": "x",
        "huge": "x" * 20_000,
        "refresh": live["refresh_token"],
        "mfa": enrol(sign_up("mfa@example.com")).get_mfa_token(),
        "of an unknown client": service_token("none", ORDERS),
        "of a client, foreign": service_token("orders", BILLING),
    }


@pytest.fixture
def live(resources):
    """A token pair whose access token is for the client."""
    return refresh_for(sign_up("live@example.com"), ORDERS)


@pytest.mark.threat("introspection-oracle")
def test_every_inactive_token_gets_the_same_response_after_the_same_statements(database, ask, live, foreign):
    """A client that counts round trips learns not even whether a token of another service is valid."""
    tokens = inactive_tokens(database, live, foreign)
    ask("x")  # The first event of an environment begins a chain of the audit log.
    costs = {}
    for name, token in tokens.items():
        database.execute(throttles.delete())
        answer, statements = statements_of(lambda: ask(token))  # noqa: B023 - called within the loop
        assert (answer.status, answer.json) == (200, INACTIVE), name
        costs[name] = [statement.split()[0] for statement in statements]
    assert {name: cost for name, cost in costs.items() if cost != costs["malformed"]} == {}


@pytest.mark.threat("introspection-oracle", "audit-filled")
def test_flood_of_inactive_tokens_is_not_recorded_and_still_costs_the_same(database, ask, live, foreign, monkeypatch):
    tokens = inactive_tokens(database, live, foreign)
    use_limits(monkeypatch, client_per_source=2)
    for _ in range(8):
        ask(foreign)
    recorded = recorded_failures(database)
    assert recorded["authz_introspection_fail", "other_audience"] == 2
    assert recorded["excess_rate_limit_exceeded", "introspection"] == 1
    costs = {name: len(statements_of(lambda: ask(token))[1]) for name, token in tokens.items()}  # noqa: B023
    assert set(costs.values()) == {costs["malformed"]}, costs
    assert recorded_failures(database) == recorded
    # An attacker who sends tokens to the service does not stop its introspections.
    assert ask(live["access_token"]).json["active"] is True


@pytest.mark.threat("introspection-oracle")
def test_metric_counts_foreign_tokens_that_are_not_recorded(ask, foreign, log_lines, monkeypatch):
    """The alarm must not miss a flood."""
    use_limits(monkeypatch, client_per_source=1)
    for _ in range(5):
        ask(foreign)
    assert sum(each.get("authz_introspection_fail", [0])[0] for each in log_lines.metrics) == 5


# --- Other secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("9.2.2")
@pytest.mark.threat("introspection-other-secret")
@pytest.mark.parametrize("hint", ["refresh_token", "access_token"])
def test_other_secrets_are_inactive_and_reported(database, ask, log_lines, hint):
    """A service that has one of them has it from an attacker, or from a client that confuses secrets."""
    holder = enrol()
    pair = holder.log_in().json
    others = {"refresh": pair["refresh_token"], "step-up": pair["step_up_token"], "mfa": holder.get_mfa_token()}
    others |= {"mail": "mt_" + "A" * 43, "client": register_client("other")}
    before = database.execute(select(sessions))
    assert {name: ask(token, token_type_hint=hint).json for name, token in others.items()} == dict.fromkeys(
        others, INACTIVE
    )
    assert database.execute(select(sessions))[: len(before)] == before
    assert log_lines.reasons("authz_introspection_fail") == ["other_token_type"] * len(others)


@pytest.mark.threat("introspection-oracle")
def test_forged_tokens_are_inactive_and_no_alarm(ask, live, log_lines):
    """Any client of a service can send it garbage."""
    names = ("sub", "sid", "tv", "role", "aud", "exp", "jti")
    audiences: tuple[object, ...] = ([], [[ORDERS]], {ORDERS: 1}, f"{ORDERS}/", ORDERS.upper(), 7)
    tokens = [
        *(forged(**{"aud": ORDERS, name: ABSENT}) for name in names),
        *(forged(aud=value) for value in audiences),
        *(forged(aud=ORDERS, sub=value) for value in ("client:", "x", "CLIENT:orders", 7)),
        forged(aud=ORDERS, exp=1),
        forged(aud=ORDERS, iss="https://evil.example"),
        forged({"typ": "JWT"}, aud=ORDERS),
        live["access_token"][:-1],
    ]
    for token in tokens:
        assert ask(token).json == INACTIVE, token
    # The empty list, two other spellings of the audience, and the other type.
    assert log_lines.reasons("authz_introspection_fail") == ["other_audience"] * 3 + ["other_token_type"]


# --- Clients without the permission -----------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.1")
@pytest.mark.threat("introspection-without-permission")
@pytest.mark.parametrize("options", [{"audience": ORDERS}, {}], ids=["audience alone", "neither"])
def test_client_without_the_permission_gets_unauthorized_client(database, live, foreign, log_lines, options):
    secret = register_client("curious", **options)
    answers = [
        send_form("introspect", "/introspect", {"token": token}, authorization=basic("curious", secret))
        for token in (live["access_token"], foreign, "x")
    ]
    for answer in answers:
        assert (answer.status, answer.code) == (400, "unauthorized_client")
        assert "active" not in answer.json
    assert log_lines.reasons("authz_introspection_fail") == ["client_may_not_introspect"] * 3
    assert "subject" not in log_lines.security_events[-1]


@pytest.mark.asvs("8.3.1", "10.4.10")
@pytest.mark.threat("introspection-without-permission")
def test_introspection_without_a_client_is_rejected(database, live):
    """Neither a user's access token nor the token itself authenticates (RFC 7662 section 2.1)."""
    token = live["access_token"]
    for authorization in (None, f"Bearer {token}", basic("orders", "wrong"), basic("none", "wrong")):
        answer = send_form("introspect", "/introspect", {"token": token}, authorization=authorization)
        assert (answer.status, answer.code) == (401, "invalid_client")
        assert "www-authenticate" in answer.headers


@pytest.mark.asvs("10.4.10", "15.4.2")
@pytest.mark.threat("client-assertion-replay")
@pytest.mark.parametrize("replay", ["at another function", "at both functions at once"])
def test_assertion_works_at_one_of_the_functions(database, live, replay):
    """An attacker who reads the assertion of an introspection could otherwise get a token with it."""
    register_client("orders", key=ec_key(), audience=ORDERS, resources=[BILLING], may_introspect=True)
    sent = with_assertion(assertion(ec_key(), name="orders"))
    ways = [
        lambda: send_form("introspect", "/introspect", {"token": live["access_token"], **sent}),
        lambda: request_token(**sent),
    ]
    answers = [way() for way in ways] if replay == "at another function" else send_at_once(*ways * 4)
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.code for answer in answers if answer.status != 200} == {"invalid_client"}


@pytest.mark.threat("introspection-without-permission")
def test_client_that_is_rotated_or_removed_introspects_nothing_at_once(database, live):
    """No function caches clients."""
    token = {"token": live["access_token"]}
    old = basic("orders", register_client("orders", audience=ORDERS, may_introspect=True))
    _, secret = rotate_credential("orders", ends_old_now=True)
    new = basic("orders", secret or "")
    assert send_form("introspect", "/introspect", token, authorization=old).code == "invalid_client"
    assert send_form("introspect", "/introspect", token, authorization=new).status == 200
    remove_client("orders")
    assert send_form("introspect", "/introspect", token, authorization=new).code == "invalid_client"


def test_token_is_required(ask):
    answer = ask("")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "token" in answer.json["error_description"]

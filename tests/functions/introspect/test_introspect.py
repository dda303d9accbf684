"""POST /introspect: a service asks whether an access token is valid now (RFC 7662)."""

import base64
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.clients.registration import remove_client
from auth_common.database.privileges import CLIENTS_ROLE, INTROSPECTION_ROLE
from auth_common.database.tables import clients, metadata, refresh_tokens, sessions, users
from tests.functions.introspect.conftest import BILLING, ORDERS
from tests.support.clients import (
    assertion,
    basic,
    ec_key,
    register_client,
    request_token,
    send_form,
    with_assertion,
)
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import json_event
from tests.support.factories import EMAIL, erase, log_out, revoke, sign_up
from tests.support.functions import call

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
INACTIVE = {"active": False}


def decode(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def refresh_for(person, resource):
    """Return a token pair whose access token is for another service."""
    answer = call(
        "refresh", json_event("POST", "/token/refresh", {"refresh_token": person.refresh_token, "resource": resource})
    )
    assert answer.status == 200, answer.text
    return answer.json


@pytest.fixture
def person(resources):
    return sign_up()


@pytest.fixture
def pair(person):
    """A token pair of the user, for the service for orders."""
    return refresh_for(person, ORDERS)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("9.2.3", "10.3.1")
def test_token_for_the_clients_audience_is_active_with_its_claims(ask, pair):
    with acting_as(INTROSPECTION_ROLE):
        answer = ask(pair["access_token"])
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {"active": True, "token_type": "Bearer", **decode(pair["access_token"])}
    assert answer.json["aud"] == ORDERS


def test_token_of_several_audiences_is_active_if_one_is_the_clients(monkeypatch, ask):
    monkeypatch.setenv("TOKEN_SEVERAL_AUDIENCES", "true")
    start_fresh_environment()
    answer = ask(sign_up().access_token)
    assert answer.json["active"] is True
    assert ORDERS in answer.json["aud"]


def test_profile_claims_are_returned_if_the_token_has_them(monkeypatch, ask):
    monkeypatch.setenv("TOKEN_PROFILE_CLAIMS", "true")
    start_fresh_environment()
    pair = refresh_for(sign_up(), ORDERS)
    assert ask(pair["access_token"]).json["name"] == decode(pair["access_token"])["name"]


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unknown", "x" * 5_000])
def test_hint_about_the_type_changes_nothing(ask, pair, hint):
    """An attacker cannot make a refresh token an access token by the hint."""
    assert ask(pair["access_token"], token_type_hint=hint).json["active"] is True
    assert ask(pair["refresh_token"], token_type_hint=hint).json == INACTIVE


@pytest.mark.asvs("7.3.1")
def test_introspection_is_no_use_of_the_session_and_writes_nothing(database, ask, pair):
    before = {table.name: database.execute(select(table)) for table in metadata.sorted_tables}
    assert ask(pair["access_token"]).json["active"] is True
    assert {table.name: database.execute(select(table)) for table in metadata.sorted_tables} == before


ENDS = {
    "logout": lambda _, pair: log_out(pair["access_token"]),
    "revocation": lambda _, pair: revoke(pair["refresh_token"]),
    "session revoked": lambda database, _: database.execute(update(sessions).values(revoked_at=LONG_AGO)),
    "session expired": lambda database, _: database.execute(update(sessions).values(expires_at=LONG_AGO)),
    "user disabled": lambda *_: accounts.disable_user(EMAIL),
    "status alone": lambda database, _: database.execute(update(users).values(status="disabled")),
    "token version": lambda database, _: database.execute(update(users).values(token_version=1)),
    "role": lambda *_: accounts.change_role(EMAIL, "admin"),
    "erasure": lambda *_: erase(),
}


@pytest.mark.asvs("7.4.1", "7.4.2")
@pytest.mark.threat("introspection-stale")
@pytest.mark.parametrize("end", ENDS)
def test_token_is_inactive_at_once_when_its_session_or_account_ends(database, ask, person, end):
    # This service accepts the user's own token, which a logout needs.
    pair = refresh_for(person, ORDERS)
    own = {"access_token": person.access_token, "refresh_token": pair["refresh_token"]}
    assert ask(pair["access_token"]).json["active"] is True
    ENDS[end](database, own)
    assert ask(pair["access_token"]).json == INACTIVE


def test_unused_refresh_token_that_expired_does_not_end_an_access_token(database, ask, pair):
    database.execute(update(refresh_tokens).values(expires_at=LONG_AGO))
    assert ask(pair["access_token"]).json["active"] is True


def test_client_with_a_key_introspects(database, pair):
    key = ec_key()
    register_client("orders", key=key, audience=ORDERS, may_introspect=True)
    signed = with_assertion(assertion(key, name="orders"))
    with acting_as(INTROSPECTION_ROLE):
        answer = send_form("introspect", "/introspect", {"token": pair["access_token"], **signed})
    assert answer.json["active"] is True


# --- Service tokens ---------------------------------------------------------------------------------------------------


@pytest.fixture
def service_token(ask):
    secret = register_client("shop", resources=[ORDERS, BILLING])
    with acting_as(CLIENTS_ROLE):
        answer = request_token(authorization=basic("shop", secret), resource=ORDERS)
    return answer.json["access_token"]


@pytest.mark.aurora_dsql
def test_service_token_is_active_while_its_client_exists(database, ask, service_token):
    with acting_as(INTROSPECTION_ROLE):
        answer = ask(service_token)
    assert answer.json == {"active": True, "token_type": "Bearer", **decode(service_token)}
    assert answer.json["sub"] == "client:shop"
    with acting_as("admin"):  # No function may remove a client.
        remove_client("shop")
    with acting_as(INTROSPECTION_ROLE):
        assert ask(service_token).json == INACTIVE


@pytest.mark.threat("introspection-stale")
def test_service_token_of_a_removed_client_stays_inactive_after_a_new_registration(database, ask, service_token):
    remove_client("shop")
    register_client("shop", resources=[ORDERS])
    assert ask(service_token).json["active"] is True  # Within the leeway of the clocks.
    later = datetime.fromtimestamp(decode(service_token)["iat"] + 31, UTC)
    database.execute(update(clients).where(clients.c.name == "shop").values(created_at=later))
    assert ask(service_token).json == INACTIVE

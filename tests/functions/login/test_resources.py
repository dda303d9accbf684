"""Access tokens for other services (RFC 8707): each has one audience, and this service rejects it on all routes."""

import logging

import jwt
import pytest

from auth_common.errors import InvalidToken
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.databases import start_fresh_environment
from tests.support.events import json_event
from tests.support.factories import EMAIL, PASSWORD, is_session_accepted, log_in, refresh, sign_up
from tests.support.forged_tokens import Verifier, forger_with_stolen_key
from tests.support.functions import authorize, call
from tests.support.passkeys import begin_login, enrol, post_without_token
from tests.support.routes import PROTECTED

pytestmark = [pytest.mark.login, pytest.mark.tokens, pytest.mark.usefixtures("database")]

ORDERS, BILLS = "https://orders.example.com", "urn:example:bills"
OURS = "secure-backend-users"
rejects = Verifier(verify_access_token, InvalidToken).rejects


@pytest.fixture(autouse=True)
def resources(monkeypatch, database):
    monkeypatch.setenv("TOKEN_RESOURCES", f"{ORDERS}, {BILLS}")
    start_fresh_environment()


def log_in_for(resource, password=PASSWORD):
    return call("login", json_event("POST", "/login", {"email": EMAIL, "password": password, "resource": resource}))


def refresh_for(token, resource):
    return call("refresh", json_event("POST", "/token/refresh", {"refresh_token": token, "resource": resource}))


def complete_login_for(holder, resource, *, mfa_token=None):
    ceremony, credential = holder.begin_and_answer_login(mfa_token)
    body = {"challenge_id": ceremony["challenge_id"], "credential": credential, "resource": resource}
    return post_without_token("/webauthn/login/complete", body)


def audience(response):
    assert response.status == 200, response.text
    return jwt.decode(response.json["access_token"], options={"verify_signature": False})["aud"]


def is_denied(token):
    (statement,) = authorize(token)["policyDocument"]["Statement"]
    return statement["Effect"] == "Deny"


def test_login_and_refresh_return_a_token_for_the_named_resource_only():
    sign_up()
    pair = log_in_for(ORDERS)
    assert audience(pair) == ORDERS
    renewed = refresh_for(pair.json["refresh_token"], BILLS)
    assert audience(renewed) == BILLS
    # Without a resource, the token is for this service again.
    assert audience(refresh(renewed.json["refresh_token"])) == OURS
    assert audience(log_in_for(None)) == OURS


def test_event_names_the_service_for_which_the_token_is(log_lines):
    sign_up()
    refresh_for(log_in_for(ORDERS).json["refresh_token"], BILLS)
    created = [event for event in log_lines.security_events if event["name"] == "authn_token_created"]
    assert [event.get("resource") for event in created] == [None, ORDERS, BILLS]


def test_login_with_a_passkey_returns_a_token_for_the_named_resource():
    holder = enrol()
    assert log_in_for(ORDERS).json["mfa_required"] is True
    assert audience(complete_login_for(holder, ORDERS, mfa_token=holder.get_mfa_token())) == ORDERS
    assert audience(complete_login_for(holder, BILLS)) == BILLS
    assert audience(holder.log_in()) == OURS


def test_lost_response_of_a_refresh_can_be_repeated_for_another_resource():
    """Tabs that refresh at once get the same refresh token, each with the access token that it has asked for."""
    account = sign_up()
    first, second = (refresh_for(account.refresh_token, resource) for resource in (ORDERS, None))
    assert (audience(first), audience(second)) == (ORDERS, OURS)
    assert first.json["refresh_token"] == second.json["refresh_token"]


@pytest.mark.asvs("9.2.3", "9.2.4", "10.3.1")
@pytest.mark.threat("authorizer-replayed-resource-token")
def test_token_for_another_service_is_rejected_on_every_route(person):
    """Otherwise the other service could act here in the name of its callers."""
    token = log_in_for(ORDERS).json["access_token"]
    assert all(is_denied_on(token, route) for route in PROTECTED)
    assert rejects(token)


def is_denied_on(token, route):
    (statement,) = authorize(token, method=route.method, path=route.path)["policyDocument"]["Statement"]
    return statement["Effect"] == "Deny"


@pytest.mark.asvs("10.3.1")
@pytest.mark.threat("authorizer-replayed-resource-token")
def test_token_for_another_service_revokes_no_session_at_a_login(person):
    """A login accepts a request with and without an access token, and the gateway calls no authorizer for it."""
    other = log_in_for(ORDERS).json
    log_in(headers={"Authorization": f"Bearer {other['access_token']}"})
    assert refresh(other["refresh_token"]).status == 200
    answer = call(
        "verify_email",
        json_event(
            "POST",
            "/email/verify",
            {"token": "mt_" + "A" * 43},
            headers={"Authorization": f"Bearer {other['access_token']}"},
        ),
    )
    assert (answer.status, answer.code) == (401, "invalid_token")


UNKNOWN: list[str] = [
    *(f"{ORDERS}/", ORDERS.upper(), f"{ORDERS}:443", f"{ORDERS}#x", f"{ORDERS}?", f" {ORDERS}", f"{ORDERS}\n"),
    *("https://bills.example.com", f"{ORDERS},{BILLS}", f"{ORDERS} {BILLS}", "*", "", "\x00", "é" * 2_000),
    *(OURS, "secure-backend-mfa", "http://localhost:8000", "None"),
]


@pytest.mark.threat("relying-service-other-audience")
def test_unknown_resource_is_invalid_target_before_anything_else(log_lines):
    """RFC 8707 section 2. The attempt does not count, and neither the refresh token nor the challenge is used up."""
    holder = enrol()
    pair = holder.log_in().json
    for resource in UNKNOWN:
        answers = [log_in_for(resource, "wrong"), refresh_for(pair["refresh_token"], resource)]
        answers.append(complete_login_for(holder, resource))
        assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_target")] * 3, resource
    ceremony = begin_login()
    credential = holder.authenticator.authenticate(ceremony["options"])
    body = {"challenge_id": ceremony["challenge_id"], "credential": credential}
    assert post_without_token("/webauthn/login/complete", {**body, "resource": "x"}).code == "invalid_target"
    assert audience(post_without_token("/webauthn/login/complete", {**body, "resource": ORDERS})) == ORDERS
    assert audience(refresh_for(pair["refresh_token"], ORDERS)) == ORDERS


def test_resource_that_is_not_a_text_or_too_long_is_rejected():
    sign_up()
    wrong: list[object] = [[ORDERS], [ORDERS, BILLS], {}, 1, True, "a" * 2_049]
    for resource in wrong:
        answer = log_in_for(resource)
        assert (answer.status, answer.fields) == (422, {"resource"}), resource


# --- The transition to tokens for one service ---------------------------------------------------------------------


def test_several_audiences_are_a_setting_with_one_warning(monkeypatch, log_lines):
    account = sign_up()
    monkeypatch.setenv("TOKEN_SEVERAL_AUDIENCES", "true")
    start_fresh_environment()
    pairs = [log_in(), log_in()]
    assert [audience(pair) for pair in pairs] == [[OURS, ORDERS, BILLS]] * 2
    assert all(is_session_accepted(account.id, pair.json) for pair in pairs)
    warnings = [record for record in log_lines.records if record["level"] == logging.getLevelName(logging.WARNING)]
    assert ["TOKEN_SEVERAL_AUDIENCES" in warning["message"] for warning in warnings] == [True]
    # A token for one other service stays a token for that service.
    assert is_denied(log_in_for(ORDERS).json["access_token"])


@pytest.mark.threat("authorizer-replayed-resource-token")
def test_list_of_audiences_without_this_service_is_rejected(monkeypatch):
    attacker = forger_with_stolen_key()
    lists: list[object] = [[ORDERS, BILLS], [ORDERS], [], [[OURS]], [OURS, 1], {OURS: True}]
    tokens = [attacker.token(claims=attacker.claims(aud=aud)) for aud in lists]
    ours = [attacker.token(claims=attacker.claims(aud=aud)) for aud in ([OURS], [OURS, ORDERS])]
    assert all(rejects(token) for token in [*tokens, *ours])
    monkeypatch.setenv("TOKEN_SEVERAL_AUDIENCES", "true")
    start_fresh_environment()
    assert all(rejects(token) for token in tokens)
    assert not any(rejects(token) for token in ours)

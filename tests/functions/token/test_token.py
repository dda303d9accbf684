"""POST /token: a registered service gets an access token of its own."""

import base64
import time
from typing import Any

import jwt
import pytest
from sqlalchemy import select

from auth_common.clients.registration import remove_client, rotate_credential
from auth_common.database.privileges import CLIENTS_ROLE
from auth_common.database.tables import audit_events, clients, metadata, refresh_tokens, sessions
from auth_common.keys.verification_keys import verification_key
from tests.support.clients import (
    NAME,
    RESOURCE,
    SCOPES,
    assertion,
    basic,
    ec_key,
    register_client,
    request_token,
    send_form,
    with_assertion,
)
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.functions import kid_of
from tests.support.outages import failing_statements, signing_key_away

pytestmark = pytest.mark.clients


@pytest.fixture
def secret(database):
    return register_client()


def claims_of(answer) -> dict[str, Any]:
    """Return the claims of the token in a response, verified as another service does."""
    assert answer.status == 200, answer.text
    token = answer.json["access_token"]
    key = verification_key(kid_of(token))
    assert key is not None
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], options={"verify_aud": False})
    return claims


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.4", "10.4.10")
def test_client_gets_a_short_token_with_its_scopes_and_no_refresh_token(database, secret):
    with acting_as(CLIENTS_ROLE):
        answer = request_token(authorization=basic(NAME, secret))
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 300)
    # RFC 6749 section 5.1.
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    claims = claims_of(answer)
    assert {name: claims[name] for name in ("iss", "aud", "sub", "client_id", "scope")} == {
        "iss": "http://localhost:8000",
        "aud": RESOURCE,
        "sub": "client:billing",
        "client_id": NAME,
        "scope": " ".join(SCOPES),
    }
    assert claims.keys() == {"iss", "aud", "sub", "client_id", "scope", "jti", "iat", "nbf", "exp"}
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 60
    assert jwt.get_unverified_header(answer.json["access_token"])["typ"] == "at+jwt"
    assert (database.count(sessions), database.count(refresh_tokens)) == (0, 0)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_each_way_to_authenticate_gets_a_token(database, secret):
    register_client("reports", key=ec_key())
    for answer in (
        request_token(authorization=basic(NAME, secret)),
        request_token(client_id=NAME, client_secret=secret),
        request_token(**with_assertion(assertion(ec_key(), name="reports"))),
        request_token(client_id="reports", **with_assertion(assertion(ec_key(), name="reports"))),
    ):
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.threat("client-guessing")
def test_rejected_client_gets_401_with_a_challenge(database, secret):
    remove_client(NAME)
    answers = [
        request_token(),
        request_token(authorization=basic(NAME, secret)),
        request_token(client_id="unknown", client_secret=secret),
        request_token(authorization=["Basic " + "A" * 20, basic(NAME, secret)]),
    ]
    for answer in answers:
        assert (answer.status, answer.code) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert len({answer.json["error_description"] for answer in answers}) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_two_ways_in_one_request_are_rejected(database, secret):
    answer = request_token(authorization=basic(NAME, secret), client_id=NAME, client_secret=secret)
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.asvs("10.4.4")
@pytest.mark.parametrize("grant", ["password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS", "x" * 200])
def test_other_grants_are_rejected(database, secret, grant):
    answer = request_token(grant_type=grant, authorization=basic(NAME, secret))
    assert (answer.status, answer.code) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_request_without_a_grant_type_is_rejected(database):
    answer = send_form("token", "/token", {"scope": "x"})
    assert (answer.status, answer.code) == (400, "invalid_request")


# --- Scopes and resources ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.asvs("10.4.11")
@pytest.mark.threat("client-excess-scope")
def test_token_has_the_requested_ones_of_the_registered_scopes(database, secret):
    authorization = basic(NAME, secret)
    for requested, given in [
        ("orders.read", "orders.read"),
        ("orders.write orders.read", "orders.write orders.read"),
        ("orders.read orders.read", "orders.read"),
    ]:
        answer = request_token(authorization=authorization, scope=requested)
        assert (answer.json["scope"], claims_of(answer)["scope"]) == (given, given)
    for requested in (
        "admin",
        "orders.read admin",
        "orders",
        "ORDERS.READ",
        " ",
        "orders.read ",
        "orders.read  x",
        "a" * 3_000,
    ):
        answer = request_token(authorization=authorization, scope=requested)
        assert (answer.status, answer.code) == (400, "invalid_scope"), requested


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_client_without_scopes_gets_a_token_without_that_claim(database):
    answer = request_token(authorization=basic(NAME, register_client(scopes=[])))
    assert "scope" not in answer.json
    assert "scope" not in claims_of(answer)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.threat("client-excess-scope")
def test_token_is_for_one_registered_resource(database, secret):
    others = ["https://stock.example.com", "https://orders.example.com/v2"]
    several = basic("reports", register_client("reports", resources=[RESOURCE, *others]))
    for resource in (RESOURCE, *others):
        assert claims_of(request_token(authorization=several, resource=resource))["aud"] == resource
    assert request_token(authorization=several).code == "invalid_target"
    authorization = basic(NAME, secret)
    assert claims_of(request_token(authorization=authorization, resource=RESOURCE))["aud"] == RESOURCE
    for resource in (*others, RESOURCE + "/", "https://ORDERS.example.com", "secure-backend-users", "*", "a:" * 1_000):
        answer = request_token(authorization=authorization, resource=resource)
        assert (answer.status, answer.code) == (400, "invalid_target"), resource
    nowhere = basic("idle", register_client("idle", resources=[]))
    assert request_token(authorization=nowhere).code == "invalid_target"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_lifetime_is_a_setting(database, secret, monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN_LIFETIME", "60")
    start_fresh_environment()
    answer = request_token(authorization=basic(NAME, secret))
    claims = claims_of(answer)
    assert (answer.json["expires_in"], claims["exp"] - claims["iat"]) == (60, 60)


# --- Events and failures ----------------------------------------------------------------------------------------------


def test_token_is_recorded_with_the_credential_that_was_used(database, secret, log_lines):
    rotate_credential(NAME)
    request_token(authorization=basic(NAME, secret), scope="orders.read")
    (event,) = [each for each in log_lines.security_events if each["name"] == "authn_client_token_created"]
    assert {name: event[name] for name in ("client", "scope", "resource", "credential")} == {
        "client": NAME,
        "scope": "orders.read",
        "resource": RESOURCE,
        "credential": "old",
    }
    names = [row.name for row in database.execute(select(audit_events))]
    assert names.count("authn_client_token_created") == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_token_that_cannot_be_recorded_or_signed_is_not_issued(database, secret, monkeypatch):
    with failing_statements("INSERT INTO audit_events"):
        answer = request_token(authorization=basic(NAME, secret))
    assert (answer.status, answer.code) == (503, "temporarily_unavailable")
    with signing_key_away(monkeypatch):
        answer = request_token(authorization=basic(NAME, secret))
    assert (answer.status, answer.code) == (503, "temporarily_unavailable")
    assert not [row for row in database.execute(select(audit_events)) if row.name == "authn_client_token_created"]


@pytest.mark.asvs("11.4.1", "13.3.1")
@pytest.mark.threat("client-stored-credential")
def test_database_contains_no_secret_and_its_hashes_are_rejected(database, secret):
    request_token(authorization=basic(NAME, secret))
    everything = [repr(row) for table in metadata.sorted_tables for row in database.execute(select(table))]
    assert not [row for row in everything if secret in row or secret.removeprefix("cs_") in row]
    ((stored,),) = database.execute(select(clients.c.credential))
    for guess in (stored.hex(), "cs_" + stored.hex(), base64.urlsafe_b64encode(stored).decode().rstrip("=")):
        answer = request_token(client_id=NAME, client_secret=guess)
        assert (answer.status, answer.code) == (401, "invalid_client")

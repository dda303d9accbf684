"""POST /login: the response, the signed token and the stored session."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from sqlalchemy import DDL, select, text, update

from auth_common.accounts.administration import mark_email_verified
from auth_common.database.tables import refresh_tokens, sessions, throttles, users
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP, USER_AGENT, json_event, proxy_event
from tests.support.factories import EMAIL, PASSWORD, get_user, log_in, register
from tests.support.functions import call

pytestmark = [pytest.mark.login, pytest.mark.sqlite]


def read_without_verifying(token):
    header, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.2")
@pytest.mark.usefixtures("database")
def test_each_login_returns_tokens_of_a_new_session():
    register()
    answers = [log_in() for _ in range(2)]
    assert [(answer.status, answer.headers["cache-control"]) for answer in answers] == [(200, "no-store")] * 2
    pairs = [answer.json for answer in answers]
    claims = [read_without_verifying(pair["access_token"])[1] for pair in pairs]
    assert all(len({each[name] for each in claims}) == 2 for name in ("sid", "jti"))
    for name, prefix in (("access_token", ""), ("refresh_token", "rt_"), ("step_up_token", "su_")):
        tokens = {pair.pop(name) for pair in pairs}
        assert len(tokens) == 2
        assert all(token.startswith(prefix) for token in tokens)
    assert pairs == [{"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 7 * 24 * 3600}] * 2


@pytest.mark.asvs("14.2.6")
@pytest.mark.threat("relying-service-excess-claims", "relying-service-outlived-token")
def test_access_token_has_the_documented_claims_only(database):
    user = register().json
    token = log_in().json["access_token"]
    header, claims = read_without_verifying(token)
    (session,) = database.execute(select(sessions))
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    now = datetime.now(UTC).timestamp()
    assert now - 60 < claims["iat"] <= now
    issued = claims["iat"]
    assert claims == {
        "iss": "http://localhost:8000",
        "aud": "secure-backend-users",
        "sub": user["id"],
        "client_id": "first-party",
        "scope": "user",
        "role": "user",
        "iat": issued,
        "nbf": issued,
        "exp": issued + 900,
        "auth_time": issued,
        "jti": claims["jti"],
        "sid": str(session.id),
        "tv": 0,
        "amr": ["pwd"],
    }
    assert len(token) < 1_000


@pytest.mark.usefixtures("database")
def test_access_token_verifies_with_the_published_key():
    """Other services verify access tokens like this test, with a JWT library and the published JWK Set."""
    register()
    token = log_in().json["access_token"]
    (jwk,) = call("jwks", proxy_event("GET", "/.well-known/jwks.json")).json["keys"]
    assert jwt.get_unverified_header(token)["kid"] == jwk["kid"]
    claims = jwt.decode(token, jwt.PyJWK(jwk), algorithms=["ES256"], audience="secure-backend-users")
    assert claims["iss"] == "http://localhost:8000"


@pytest.mark.aurora_dsql
@pytest.mark.threat("caller-denies-login")
def test_session_stores_method_time_client_and_token_hash(database):
    register()
    token = log_in().json["refresh_token"]
    (session,) = database.execute(select(sessions))
    assert session.amr == "pwd"
    assert (session.source_ip, session.user_agent) == (SOURCE_IP, USER_AGENT)
    assert datetime.now(UTC) - session.auth_time < timedelta(minutes=1)
    assert session.expires_at - session.auth_time == timedelta(days=30)
    assert session.revoked_at is None
    (row,) = database.execute(select(refresh_tokens))
    assert row.token_hash == hashlib.sha256(token.encode()).digest()
    assert token not in str(row)
    assert row.expires_at - row.issued_at == timedelta(days=7)


@pytest.mark.asvs("4.1.3", "15.3.4")
def test_x_forwarded_for_is_ignored(database):
    """The client controls this header. The request context of API Gateway contains the real client IP."""
    register()
    body, headers = {"email": EMAIL, "password": PASSWORD}, {"X-Forwarded-For": "198.51.100.9"}
    assert call("login", json_event("POST", "/login", body, headers=headers)).status == 200
    assert database.execute(select(sessions.c.source_ip)) == [(SOURCE_IP,)]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("1.3.3")
def test_hostile_user_agent_is_stored_as_printable_text(database):
    register()
    log_in(userAgent="curl\r\nX: y\x00\x1b[31m\u202e" + "a" * 1_000)
    ((stored,),) = database.execute(select(sessions.c.user_agent))
    assert stored.startswith("curlX: y[31ma")
    assert len(stored) <= 256
    assert stored.isprintable()


@pytest.mark.asvs("6.2.10")
def test_password_does_not_expire(database):
    """Neither its age nor a long time without a login expires a password (NIST SP 800-63B-4, ASVS 5.0 6.2.10)."""
    register()
    assert log_in().status == 200
    long_ago = datetime.now(UTC) - timedelta(days=3_650)
    database.execute(update(users).values(created_at=long_ago))
    database.execute(update(sessions).values(auth_time=long_ago, last_used_at=long_ago, expires_at=long_ago))
    assert log_in().json.keys() >= {"access_token", "refresh_token"}


@pytest.mark.asvs("4.2.5")
@pytest.mark.usefixtures("database")
def test_longest_token_with_profile_claims_is_accepted(monkeypatch):
    """API Gateway accepts 10,240 bytes of headers in total, and this service accepts 8 KiB of token."""
    monkeypatch.setenv("TOKEN_PROFILE_CLAIMS", "true")
    longest = f"{'a' * 64}@{'.'.join(['b' * 59] * 3)}.example"
    user = register(name="\U00010428" * 100, email=longest).json
    mark_email_verified(longest)
    token = log_in(longest).json["access_token"]
    _, claims = read_without_verifying(token)
    assert (claims["name"], claims["email"]) == (user["name"], longest)
    assert get_user(user["id"], token=token).json["name"] == user["name"]
    assert 2_000 < len(token) < 4_096


@pytest.mark.aurora_dsql
@pytest.mark.asvs("11.4.2")
def test_hash_of_a_lower_cost_is_rewritten_at_a_login(database, monkeypatch, hash_costs):
    register()
    monkeypatch.setenv("BCRYPT_COST", "5")
    start_fresh_environment()
    assert log_in(password="something else entirely").status == 401
    ((stored,),) = database.execute(select(users.c.password_hash))
    assert stored.startswith("$2b$04$")
    hash_costs.clear()
    assert log_in(EMAIL.upper()).status == 200
    assert hash_costs == [4, 4, 5]  # two for the verification, one for the new hash
    assert log_in().status == 200
    assert hash_costs == [4, 4, 5, 5]
    monkeypatch.setenv("BCRYPT_COST", "4")  # a stored hash of a higher cost stays
    start_fresh_environment()
    assert log_in().status == 200
    ((stored,),) = database.execute(select(users.c.password_hash))
    assert stored.startswith("$2b$05$")


DISK_FULL = """
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$
"""
ON_REHASH = "CREATE TRIGGER on_rehash BEFORE UPDATE OF password_hash ON users FOR EACH ROW EXECUTE FUNCTION disk_full()"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_failure_to_rewrite_a_hash_does_not_fail_the_login(database, monkeypatch, log_lines):
    register()
    database.execute(DDL(DISK_FULL))
    database.execute(DDL(ON_REHASH))
    monkeypatch.setenv("BCRYPT_COST", "5")
    start_fresh_environment()
    assert log_in().status == 200
    ((stored,),) = database.execute(select(users.c.password_hash))
    assert stored.startswith("$2b$04$")
    assert "password_rehash_fail" in [event["name"] for event in log_lines.security_events]


@pytest.mark.asvs("11.2.5")
def test_stored_hash_of_invalid_cost_or_form_is_not_verified(database, hash_costs):
    """The cost of bcrypt is an exponent, so the verification of such a hash could use a CPU for days."""
    register()
    absurd = [f"$2b${cost}${'.' * 53}" for cost in ("16", "31", "03", "00")]
    for stored in (*absurd, "$2b$04$short", "$argon2id$v=19$", "", "plain text", "$2b$04$" + "é" * 53):
        database.execute(throttles.delete())
        database.execute(update(users).values(password_hash=stored))
        hash_costs.clear()
        assert log_in().status == 401, stored
        assert hash_costs == [4], stored


@pytest.mark.threat("database-forged-rows")
@pytest.mark.usefixtures("database")
def test_login_with_another_pepper_fails(environment):
    """An attacker who has only the database cannot check a guess."""
    register()
    (environment / "pepper").write_bytes(b"another pepper of thirty-two byte")
    start_fresh_environment()
    assert log_in().status == 401


BAD_BODIES = [
    ({}, {"email", "password"}),
    ({"email": EMAIL}, {"password"}),
    ({"email": "person", "password": PASSWORD}, {"email"}),
    ({"email": EMAIL, "password": 7}, {"password"}),
    ({"email": EMAIL, "password": "a" * 1_025}, {"password"}),
    ({"email": EMAIL, "password": PASSWORD, "role": "admin"}, {"role"}),
    ([], {"body"}),
]


def test_bad_input_returns_422_and_opens_no_session(database):
    register()
    for body, fields in BAD_BODIES:
        answer = call("login", json_event("POST", "/login", body))
        assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", fields), body
        assert PASSWORD not in answer.text
    assert database.count(sessions) == 0


@pytest.mark.audit
def test_login_with_a_salt_that_an_attacker_inserted_succeeds(database):
    register()
    for salt in ("'text'", "''"):
        database.execute(text(f"UPDATE audit_salts SET salt = {salt}"))
        start_fresh_environment()
        assert log_in().status == 200, salt

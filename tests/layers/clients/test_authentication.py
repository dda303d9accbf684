"""Authentication of clients, and attacks on it."""

import base64
import hmac
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select

from auth_common.clients.authentication import authenticate, authenticate_client
from auth_common.clients.credentials import parse_public_key
from auth_common.clients.registration import (
    PublicKeyCredential,
    end_old_credential,
    remove_client,
    rotate_credential,
)
from auth_common.database.tables import audit_events, client_assertions, throttles
from auth_common.errors import InvalidClient, InvalidRequest, ServiceError, TooManyAttempts
from tests.support.clients import (
    NAME,
    assertion,
    basic,
    ec_key,
    public_pem,
    register_client,
    rsa_key,
    with_assertion,
)
from tests.support.forged_tokens import ABSENT
from tests.support.outages import on_each_statement
from tests.support.throttles import recorded_failures, use_limits

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]

ISSUER = "http://localhost:8000"


def post(name: str, secret: str) -> dict[str, str]:
    return {"client_id": name, "client_secret": secret}


def rejects(form: dict[str, str], authorization: str | None = None) -> bool:
    try:
        authenticate_client(form, authorization)
    except InvalidClient:
        return True
    return False


def accepts_assertion(signed: str) -> bool:
    return not rejects(with_assertion(signed))


@pytest.fixture
def secret(database):
    return register_client()


@pytest.fixture
def key(database):
    """The private key of a client with the algorithm ES256."""
    register_client(key=ec_key())
    return ec_key()


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_client_with_its_secret_is_authenticated(secret):
    for form, authorization in [
        ({}, basic(NAME, secret)),
        ({"client_id": NAME}, basic(NAME, secret)),
        ({}, basic(NAME, secret).replace("Basic", "bAsIc")),
        (post(NAME, secret), None),
    ]:
        client = authenticate_client(form, authorization)
        assert (client.name, client.subject) == (NAME, f"client:{NAME}")


def test_encoded_name_and_secret_of_basic_are_decoded(secret):
    """RFC 6749 section 2.3.1: both are encoded as in a form before base64."""
    encoded = "".join(f"%{ord(each):02X}" for each in NAME) + ":" + secret.replace("_", "%5f")
    assert authenticate_client({}, "Basic " + base64.b64encode(encoded.encode()).decode()).name == NAME


@pytest.mark.asvs("10.4.10")
@pytest.mark.threat("client-guessing")
def test_wrong_credentials_are_rejected(secret):
    other = register_client("reports")
    wrong: dict[str, tuple[dict[str, str], str | None]] = {
        "nothing": ({}, None),
        "no secret": ({"client_id": NAME}, None),
        "no name": ({"client_secret": secret}, None),
        "no name in Basic": ({}, basic("", secret)),
        "no secret in Basic": ({}, basic(NAME, "")),
        "wrong secret": ({}, basic(NAME, secret[:-1] + ("A" if secret[-1] != "A" else "Q"))),
        "another client's secret": ({}, basic(NAME, other)),
        "unknown client": ({}, basic("unknown", secret)),
        "another spelling of the name": (post(NAME.upper(), secret), None),
        "NUL in the name": (post("billing\0", secret), None),
        "two names": ({"client_id": "reports"}, basic(NAME, secret)),
        "another scheme": ({}, "Bearer " + secret),
        "no scheme": ({}, basic(NAME, secret).removeprefix("Basic ")),
        "no base64": ({}, "Basic %%%"),
        "no ASCII": ({}, "Basic " + base64.b64encode(b"\xff:" + secret.encode()).decode()),
        "no colon": ({}, "Basic " + base64.b64encode(NAME.encode()).decode()),
        "empty": ({}, ""),
    }
    assert [name for name, (form, authorization) in wrong.items() if not rejects(form, authorization)] == []


@pytest.mark.asvs("10.4.10")
def test_several_ways_in_one_request_are_rejected(secret):
    """RFC 6749 section 2.3. Otherwise a proxy could check one and this service the other."""
    assertions = with_assertion(assertion(ec_key()))
    for form, authorization in [
        (post(NAME, secret), basic(NAME, secret)),
        (assertions, basic(NAME, secret)),
        ({**post(NAME, secret), **assertions}, None),
    ]:
        with pytest.raises(InvalidRequest):
            authenticate_client(form, authorization)


def test_old_secret_is_accepted_until_an_operator_ends_it(secret):
    _, new = rotate_credential(NAME)
    found = [authenticate({}, basic(NAME, each)).used_old_credential for each in (secret, new or "")]
    assert found == [True, False]
    end_old_credential(NAME)
    assert rejects({}, basic(NAME, secret))
    assert not rejects({}, basic(NAME, new or ""))


def test_leaked_secret_is_rejected_at_once(secret):
    _, new = rotate_credential(NAME)
    _, newest = rotate_credential(NAME, ends_old_now=True)
    assert rejects({}, basic(NAME, secret))
    assert rejects({}, basic(NAME, new or ""))
    assert not rejects({}, basic(NAME, newest or ""))


def test_removed_client_is_rejected(secret):
    remove_client(NAME)
    assert rejects({}, basic(NAME, secret))


# --- Assertions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm"), [(ec_key, "ES256"), (rsa_key, "PS256"), (rsa_key, "RS256")], ids=["ES256", "PS256", "RS256"]
)
def test_client_with_an_assertion_is_authenticated(database, key, algorithm):
    register_client(key=key(), algorithm=algorithm)
    for headers in ({}, {"typ": "client-authentication+jwt"}, {"kid": "2026"}):
        signed = assertion(key(), algorithm=algorithm, headers=headers)
        assert authenticate_client(with_assertion(signed), None).name == NAME
    signed = assertion(key(), algorithm=algorithm, iat=int(time.time()), nbf=int(time.time()))
    assert authenticate_client({**with_assertion(signed), "client_id": NAME}, None).name == NAME


def test_assertion_without_a_type_is_accepted(key):
    """Many libraries send no ``typ``. PyJWT leaves it out for None."""
    assert accepts_assertion(assertion(key, headers={"typ": None}))


@pytest.mark.asvs("10.4.10")
@pytest.mark.threat("client-assertion-replay")
def test_used_assertion_is_rejected(key, log_lines):
    signed = assertion(key)
    assert [accepts_assertion(signed) for _ in range(3)] == [True, False, False]
    assert [event["reason"] for event in log_lines.security_events if event["name"] == "authn_client_fail"] == [
        "assertion_replayed"
    ] * 2


@pytest.mark.threat("client-assertion-replay")
def test_assertion_with_another_expiry_and_a_used_id_is_rejected(key):
    """The client has used this ``jti``, so a second assertion with it is a copy of a broken client, or an attack."""
    assert accepts_assertion(assertion(key, jti="1", exp=int(time.time()) + 60))
    assert not accepts_assertion(assertion(key, jti="1", exp=int(time.time()) + 90))


def test_two_clients_may_use_the_same_id(key):
    register_client("reports", key=ec_key(1))
    assert accepts_assertion(assertion(key, jti="1"))
    assert accepts_assertion(assertion(ec_key(1), name="reports", jti="1"))


def test_used_assertion_is_stored_until_it_cannot_be_accepted(database, key):
    expires = int(time.time()) + 60
    assert accepts_assertion(assertion(key, exp=expires))
    ((stored,),) = database.execute(select(client_assertions.c.expires_at))
    assert stored.timestamp() == expires + 30  # the leeway


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "no issuer": {"iss": ABSENT},
    "another issuer": {"iss": "reports"},
    "no subject": {"sub": ABSENT},
    "another subject": {"sub": "reports"},
    "a list as subject": {"sub": [NAME]},
    "no audience": {"aud": ABSENT},
    "the token endpoint": {"aud": "https://auth.example.com/token"},
    "a list with the issuer": {"aud": [ISSUER]},
    "a list with the issuer and another server": {"aud": [ISSUER, "https://attacker.example"]},
    "the issuer with a slash": {"aud": ISSUER + "/"},
    "no expiry": {"exp": ABSENT},
    "a text as expiry": {"exp": str(int(time.time()) + 60)},
    "a fraction as expiry": {"exp": time.time() + 60.5},
    "infinity as expiry": {"exp": 10**400},
    "no id": {"jti": ABSENT},
    "a number as id": {"jti": 1},
    "a text as time of issue": {"iat": "1"},
    "true as start": {"nbf": True},
}


@pytest.mark.asvs("10.4.10")
@pytest.mark.threat("client-assertion-audience")
@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_assertion_with_wrong_claims_is_rejected(key, changes):
    assert not accepts_assertion(assertion(key, **changes))


@pytest.mark.asvs("10.4.10")
def test_assertion_is_accepted_within_five_minutes_and_the_leeway(key):
    now = int(time.time())
    assert accepts_assertion(assertion(key, exp=now - 20))
    assert accepts_assertion(assertion(key, exp=now + 320))
    assert not accepts_assertion(assertion(key, exp=now - 31))
    assert not accepts_assertion(assertion(key, exp=now + 340))
    assert not accepts_assertion(assertion(key, nbf=now + 40))
    assert not accepts_assertion(assertion(key, iat=now + 40))


def symmetric(secret: bytes, **headers: Any) -> str:
    """Return an assertion that is signed with HS256 and a text that an attacker knows."""
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    head, claims, _ = assertion(ec_key(1), headers={**headers, "alg": "ES256"}).split(".")
    changed = jwt.utils.base64url_encode(jwt.utils.base64url_decode(head).replace(b"ES256", b"HS256")).decode()
    signature = algorithm.sign(f"{changed}.{claims}".encode(), secret)
    return f"{changed}.{claims}.{jwt.utils.base64url_encode(signature).decode()}"


def with_header(**headers: Any) -> str:
    return assertion(ec_key(), headers=headers)


FORGED: dict[str, Callable[[], str]] = {
    "another key": lambda: assertion(ec_key(1)),
    "no signature": lambda: jwt.encode({"sub": NAME}, "", algorithm="none"),
    "no signature, of ES256": lambda: assertion(ec_key()).rpartition(".")[0] + ".",
    "HS256 with the public key": lambda: symmetric(public_pem(ec_key()).encode()),
    "HS256 with nothing": lambda: symmetric(b""),
    "ES384": lambda: assertion(ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
    "PS256 for a client with ES256": lambda: assertion(rsa_key(), algorithm="PS256"),
    "a key in the header": lambda: with_header(jwk={"kty": "EC"}),
    "a URL of keys": lambda: with_header(jku="https://attacker.example/jwks"),
    "a certificate": lambda: with_header(x5c=["MII="]),
    "a critical parameter": lambda: with_header(crit=["exp"], exp=1),
    "an unencoded payload": lambda: with_header(b64=False, crit=["b64"]),
    "an access token": lambda: with_header(typ="at+jwt"),
    "a number as type": lambda: with_header(typ=1),
    "a list as algorithm": lambda: with_header().replace("eyJ", "W10", 1),
    "padding": lambda: with_header() + "=",
    "a blank": lambda: with_header() + " ",
    "four parts": lambda: with_header() + ".AAAA",
    "two parts": lambda: with_header().rpartition(".")[0],
    "too long": lambda: assertion(ec_key(), jti="x" * 9_000),
    "another signature": lambda: with_header()[:-8] + "AAAAAAAA",
}


@pytest.mark.asvs("9.1.2", "9.1.3", "10.4.10")
@pytest.mark.threat("client-assertion-forged")
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_forged_assertion_is_rejected(key, forge):
    assert not accepts_assertion(forge())


@pytest.mark.threat("client-assertion-forged")
def test_assertion_with_a_repeated_claim_is_rejected(key):
    """A proxy could read the first one, and PyJWT the last."""
    _, claims, _ = assertion(key).split(".")
    twice = jwt.utils.base64url_decode(claims)[:-1] + b',"sub":"billing"}'
    signed = jwt.PyJWS().encode(twice, key, algorithm="ES256", headers={"typ": "JWT"})
    assert not accepts_assertion(signed)


@pytest.mark.asvs("9.1.2")
@pytest.mark.threat("client-assertion-forged")
def test_client_with_one_algorithm_cannot_use_another_of_the_same_key(database):
    register_client(key=rsa_key(), algorithm="PS256")
    assert not accepts_assertion(assertion(rsa_key(), algorithm="RS256"))


@pytest.mark.asvs("9.1.2", "10.4.10")
@pytest.mark.threat("client-assertion-forged")
def test_method_of_a_client_is_fixed_by_its_registration(key):
    secret = register_client("reports")
    assert rejects({}, basic(NAME, base64.b64encode(b"any").decode()))
    assert not accepts_assertion(assertion(key, name="reports"))
    # What is stored for a client is no secret of it.
    assert rejects({}, basic("reports", secret.removeprefix("cs_")))


@pytest.mark.threat("client-assertion-forged")
@pytest.mark.parametrize("name", [NAME, "unknown"])
def test_decoy_keys_authenticate_no_client(key, name):
    """The decoy of unknown clients is public, and so is its private key."""
    decoy = ec.derive_private_key(1, ec.SECP256R1())
    assert not accepts_assertion(assertion(decoy, name=name))


def test_assertion_needs_its_type(key):
    for kind in ({}, {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}):
        assert rejects({"client_assertion": assertion(key), **kind})


def test_old_key_is_accepted_until_an_operator_ends_it(key):
    new = PublicKeyCredential(*parse_public_key(public_pem(ec_key(1))))
    rotate_credential(NAME, public_key=new)
    found = [authenticate(with_assertion(assertion(each)), None).used_old_credential for each in (key, ec_key(1))]
    assert found == [True, False]
    end_old_credential(NAME)
    assert [accepts_assertion(assertion(each)) for each in (key, ec_key(1))] == [False, True]


@given(text=st.text() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_as_a_credential_is_rejected(text, database):
    database.execute(delete(throttles))
    for form, authorization in [
        (with_assertion(text), None),
        ({"client_id": text, "client_secret": text}, None),
        ({}, f"Basic {text}"),
    ]:
        assert rejects(form, authorization)


# --- Limits -----------------------------------------------------------------------------------------------------------


def outcome(form: dict[str, str], authorization: str | None = None) -> str:
    try:
        return authenticate_client(form, authorization).name
    except ServiceError as error:
        return error.code


@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("client-lockout")
def test_failures_are_limited_and_lock_no_client_out(secret, monkeypatch):
    use_limits(monkeypatch, client_per_source=3)
    assert [outcome({}, basic(NAME, "wrong")) for _ in range(5)] == ["invalid_client"] * 3 + ["too_many_attempts"] * 2
    assert outcome({}, basic("reports", "wrong")) == "too_many_attempts"
    assert outcome({}, basic(NAME, secret)) == NAME


@pytest.mark.threat("client-lockout")
def test_lockout_by_failures_fills_no_audit_log(database, secret, monkeypatch):
    use_limits(monkeypatch, client_per_source=3)
    for _ in range(20):
        outcome({}, basic(NAME, "wrong"))
    recorded = [name for (name, _), number in recorded_failures(database).items() for _ in range(number)]
    assert sorted(recorded) == ["authn_client_fail"] * 3 + ["excess_rate_limit_exceeded"]


def test_unknown_client_is_limited_like_a_known_one(secret, monkeypatch):
    """The limit does not show whether a client exists."""
    use_limits(monkeypatch, client_per_source=3)
    for name in (NAME, "unknown"):
        responses = [outcome({}, basic(name, "wrong")) for _ in range(4)]
        assert responses[-1] == "too_many_attempts"
    with pytest.raises(TooManyAttempts):
        authenticate_client({}, None)


@pytest.fixture
def computations(monkeypatch) -> list[str]:
    """The name of each verification of a signature and comparison of secrets from now on, which still do their work."""
    done: list[str] = []

    def counting(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_and_count(*arguments: Any) -> Any:
            done.append(name)
            return compute(*arguments)

        return compute_and_count

    for algorithm in (jwt.algorithms.ECAlgorithm, jwt.algorithms.RSAAlgorithm, jwt.algorithms.RSAPSSAlgorithm):
        monkeypatch.setattr(algorithm, "verify", counting(algorithm.__name__, algorithm.verify))
    monkeypatch.setattr(hmac, "compare_digest", counting("compare_digest", hmac.compare_digest))
    return done


@pytest.mark.threat("client-enumeration")
def test_unknown_client_costs_the_same_work_as_a_known_one(database, key, computations):
    """The known ones have one credential, two, and another method."""
    secret = register_client("reports")
    register_client("rotated")
    rotate_credential("rotated")
    rejects({}, basic("unknown", "wrong"))  # the first failure begins a chain of the audit log
    wrong: list[Callable[[str], tuple[dict[str, str], str | None]]] = [
        lambda name: ({}, basic(name, "wrong")),
        lambda name: (with_assertion(assertion(ec_key(7), name=name)), None),
        lambda name: (with_assertion(assertion(rsa_key(), algorithm="PS256", name=name)), None),
    ]
    for credentials in wrong:
        work = []
        for name in ("unknown", NAME, "reports", "rotated"):
            sent: list[str] = []
            form, authorization = credentials(name)
            computations.clear()
            with on_each_statement(lambda statement, _: sent.append(statement)):  # noqa: B023 - called in the loop
                assert rejects(form, authorization)
            work.append((sent, [*computations]))
        assert work[1:] == [work[0]] * 3
        assert len(work[0][1]) == 2
    assert not rejects({}, basic("reports", secret))


def test_failure_of_an_unknown_client_records_no_name(database, secret):
    rejects({}, basic("a-password-by-mistake", "wrong"))
    (record,) = [row.record for row in database.execute(select(audit_events)) if row.name == "authn_client_fail"]
    assert "a-password-by-mistake" not in record

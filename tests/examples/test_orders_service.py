"""The example of another service: it trusts our tokens, and nobody else's, with our JWK Set's URL alone."""

import hmac
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.security.jwk import public_jwk
from tests.support import leaks
from tests.support.factories import EMAIL, PASSWORD, registration
from tests.support.forged_tokens import ABSENT, USER_ID, Forger, base64url
from tests.support.processes import wait_until
from tests.support.runtime import PROJECT, Runtime, running_runtime

pytestmark = pytest.mark.tokens


@contextmanager
def running_orders(log: Path, jwks_url: str) -> Iterator[httpx.Client]:
    """Serve the example as its docstring says, with nothing else in its environment, and yield a client."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "examples.orders_service.app:app", "--port", "0"],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "JWKS_URL": jwks_url},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or "Uvicorn running on" in log.read_text())
            announced = re.search(r"running on (http://\S+)", log.read_text())
            assert announced, log.read_text()
            with httpx.Client(base_url=announced[1], timeout=60) as client:
                yield client
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with running_runtime(tmp_path_factory.mktemp("issuer") / "data") as runtime:
        httpx.post(f"{runtime.url}/users", json=registration(), timeout=60).raise_for_status()
        yield runtime


@pytest.fixture(scope="module")
def orders(service: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("orders") / "orders.log"
    with running_orders(log, f"{service.url}/.well-known/jwks.json") as client:
        yield client


@pytest.fixture
def token(service):
    answer = httpx.post(f"{service.url}/login", json={"email": EMAIL, "password": PASSWORD}, timeout=60)
    leaks.remember(*leaks.secrets_in(answer.raise_for_status().json()))
    return answer.json()["access_token"]


@pytest.fixture
def thief(service, token) -> Forger:
    """Somebody who has stolen the issuer's key: whatever is wrong with their tokens, it is not the signature."""
    pem = (service.log_file.parent / "keys/signing-key.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Forger(key, public_jwk(key.public_key())["kid"])


def get_orders(orders, token):
    return orders.get("/orders", headers={"Authorization": f"Bearer {token}"})


def spell(value):
    """Return a test's name for ``value``, the same in every process."""
    return "absent" if value is ABSENT else repr(value)


def refuses(orders, token):
    answer = get_orders(orders, token)
    return (answer.status_code, answer.headers.get("www-authenticate")) == (401, 'Bearer error="invalid_token"')


def test_a_token_of_ours_opens_it(service, orders, token):
    (user_id,) = {item["user_id"] for item in [get_orders(orders, token).json()]}
    user = httpx.get(f"{service.url}/users/{user_id}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert user.json()["email"] == EMAIL


def test_what_the_thief_makes_without_a_change_opens_it(orders, thief):
    """Else every test below would pass for the wrong reason."""
    assert get_orders(orders, thief.token()).json()["user_id"] == str(USER_ID)


@pytest.mark.asvs("8.3.3")
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"}], ids=str
)
def test_without_a_bearer_token_it_stays_closed(orders, headers):
    answer = orders.get("/orders", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "e30.e30.", "null", "A" * 20_000])
def test_garbage(orders, token):
    assert refuses(orders, token)


@pytest.mark.threat("relying-service-forged-token")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_alg_none(orders, thief, alg):
    signing_input = thief.signing_input(header=thief.header(alg=alg))
    assert refuses(orders, f"{signing_input}.")
    assert refuses(orders, f"{signing_input}.{thief.token().split('.')[2]}")


def test_hmac_with_the_public_key_as_secret(orders, thief):
    pem = thief.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signing_input = thief.signing_input(header=thief.header(alg="HS256"))
    assert refuses(orders, f"{signing_input}.{base64url(hmac.digest(pem, signing_input.encode(), 'sha256'))}")


def test_a_changed_payload(orders, thief):
    header, _, signature = thief.token().split(".")
    payload = base64url(json.dumps(thief.claims(sub="somebody else")).encode())
    assert refuses(orders, f"{header}.{payload}.{signature}")


def test_another_key_under_our_key_id_or_its_own(orders, thief):
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(key.public_key())
    for kid in (thief.kid, jwk["kid"]):
        attacker = Forger(key, kid)
        assert refuses(orders, attacker.token())
        assert refuses(orders, attacker.token(header=attacker.header(jwk=jwk, jku="https://attacker.example/jwks")))


@pytest.mark.parametrize("kid", [ABSENT, None, "", 7, [], "../../etc/passwd", "A" * 43], ids=spell)
def test_a_key_id_that_nobody_has(orders, thief, kid):
    assert refuses(orders, thief.token(header=thief.header(kid=kid)))


@pytest.mark.threat("relying-service-forged-token")
@pytest.mark.parametrize("typ", [ABSENT, "JWT", "mfa+jwt", "", None, 1], ids=spell)
def test_another_kind_of_token_of_the_same_issuer(orders, thief, typ):
    assert refuses(orders, thief.token(header=thief.header(typ=typ)))


@pytest.mark.asvs("10.3.1")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aud", "secure-backend-mfa"),
        ("aud", ["somebody", "else"]),
        ("aud", ABSENT),
        ("iss", "somebody-else"),
        ("iss", ABSENT),
        ("sub", ABSENT),
        ("sub", 7),
        ("iat", ABSENT),
        ("exp", ABSENT),
        ("exp", "soon"),
        ("exp", None),
    ],
    ids=spell,
)
def test_claims_that_are_not_for_it(orders, thief, name, value):
    assert refuses(orders, thief.token(claims=thief.claims(**{name: value})))


def test_time(orders, thief):
    now = int(time.time())
    assert refuses(orders, thief.token(claims=thief.claims(exp=now - 31)))
    assert refuses(orders, thief.token(claims=thief.claims(nbf=now + 600)))
    assert get_orders(orders, thief.token(claims=thief.claims(exp=now - 3))).status_code == 200


@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_nested_too_deeply_to_read(orders, thief, part):
    assert refuses(orders, thief.token(**{part: b"[" * 20_000}))


@pytest.mark.threat("relying-service-key-rotation")
def test_a_rotation_reaches_it_without_a_restart(service, orders, token):
    environment = {**os.environ, "DATA_DIR": str(service.log_file.parent)}
    subprocess.run([Path(sys.executable).with_name("keys"), "rotate"], cwd=PROJECT, env=environment, check=True)
    answer = httpx.post(f"{service.url}/login", json={"email": EMAIL, "password": PASSWORD}, timeout=60)
    new = answer.json()["access_token"]
    leaks.remember(*leaks.secrets_in(answer.json()))
    assert new.split(".")[0] != token.split(".")[0]
    wait_until(lambda: get_orders(orders, new).status_code == 200, seconds=20)
    assert get_orders(orders, token).status_code == 200


@pytest.mark.threat("relying-service-key-rotation")
def test_while_the_issuer_is_away_known_keys_still_verify_and_others_are_no_fault_of_the_callers(tmp_path):
    """A 401 would make every client log out."""
    with running_runtime(tmp_path / "data") as issuer:
        jwks_url = f"{issuer.url}/.well-known/jwks.json"
        httpx.post(f"{issuer.url}/users", json=registration(), timeout=60)
        pair = httpx.post(f"{issuer.url}/login", json={"email": EMAIL, "password": PASSWORD}, timeout=60).json()
        leaks.remember(*leaks.secrets_in(pair))
        with running_orders(tmp_path / "early.log", jwks_url) as early:
            assert get_orders(early, pair["access_token"]).status_code == 200
            issuer.process.terminate()
            issuer.process.wait()
            assert get_orders(early, pair["access_token"]).status_code == 200
    with running_orders(tmp_path / "late.log", jwks_url) as late:
        answer = get_orders(late, pair["access_token"])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")

"""The example of another service: it accepts the tokens of this service only, and knows just the JWK Set's URL."""

import hmac
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.keys.jwk import public_jwk
from tests.support.events import proxy_event
from tests.support.factories import log_in, sign_up
from tests.support.forged_tokens import ABSENT, USER_ID, Forger, base64url
from tests.support.functions import call
from tests.support.processes import wait_until
from tests.support.runtime import PROJECT
from tools.operators.keys import main as keys

pytestmark = pytest.mark.tokens


def new_forger() -> Forger:
    key = ec.generate_private_key(ec.SECP256R1())
    return Forger(key, public_jwk(key.public_key())["kid"])


class Issuer:
    """The JWK Set's URL, with the key of ``thief`` among the keys: what is wrong with such a token is not the key."""

    def __init__(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode())

            def log_message(self, *_args: object) -> None:
                pass

        self.thief = new_forger()
        self.keys = [public_jwk(self.thief.key.public_key())]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def publish(self) -> None:
        """Publish the keys of this process's service, too."""
        served: list[dict[str, Any]] = call("jwks", proxy_event("GET", "/.well-known/jwks.json")).json["keys"]
        self.keys = [self.keys[0], *served]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_orders(log: Path, jwks_url: str) -> Iterator[httpx.Client]:
    """Serve the example as its docstring says, with nothing else in its environment, and yield a client."""
    command = [sys.executable, "-m", "uvicorn", "examples.orders_service.app:app", "--port", "0"]
    environment = {"PATH": os.environ["PATH"], "JWKS_URL": jwks_url}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output) as process,
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
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def orders(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with running_orders(tmp_path_factory.mktemp("orders") / "orders.log", issuer.url) as client:
        yield client


def get_orders(orders: httpx.Client, token: str) -> httpx.Response:
    return orders.get("/orders", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.threat("relying-service-key-rotation")
@pytest.mark.usefixtures("environment")
def test_token_of_the_service_is_accepted_before_and_after_a_rotation(issuer, orders):
    """Without a restart of the example."""
    account = sign_up()
    issuer.publish()
    wait_until(lambda: get_orders(orders, account.access_token).status_code == 200, seconds=20)
    assert get_orders(orders, account.access_token).json()["user_id"] == account.id
    assert keys(["rotate"]) == 0
    issuer.publish()
    new = log_in().json["access_token"]
    assert new.split(".")[0] != account.access_token.split(".")[0]
    wait_until(lambda: get_orders(orders, new).status_code == 200, seconds=20)
    assert get_orders(orders, account.access_token).status_code == 200


@pytest.mark.asvs("8.3.3")
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"}], ids=str
)
def test_request_without_a_bearer_token_is_rejected(orders, headers):
    answer = orders.get("/orders", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def hmac_with_public_key(thief: Forger) -> str:
    encoding = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    signing_input = thief.signing_input(header=thief.header(alg="HS256"))
    mac = hmac.digest(thief.key.public_key().public_bytes(*encoding), signing_input.encode(), "sha256")
    return f"{signing_input}.{base64url(mac)}"


def changed_payload(thief: Forger) -> str:
    header, _, signature = thief.token().split(".")
    return f"{header}.{base64url(json.dumps(thief.claims(sub='somebody else')).encode())}.{signature}"


def another_key(thief: Forger, *, kid: str = "", **header: Any) -> str:
    attacker = new_forger()
    named = Forger(attacker.key, kid or thief.kid)
    jwk = public_jwk(attacker.key.public_key())
    return named.token(header=named.header(jwk=jwk, **header) if header else None)


def with_header(**changes: Any) -> Callable[[Forger], str]:
    return lambda thief: thief.token(header=thief.header(**changes))


def with_claims(**changes: Any) -> Callable[[Forger], str]:
    return lambda thief: thief.token(claims=thief.claims(**changes))


def in_seconds(name: str, seconds: int) -> Callable[[Forger], str]:
    return lambda thief: thief.token(claims=thief.claims(**{name: int(time.time()) + seconds}))


def as_it_is(text: str) -> Callable[[Forger], str]:
    return lambda _: text


def unsigned(alg: str, *, signature: bool) -> Callable[[Forger], str]:
    return lambda thief: (
        f"{thief.signing_input(header=thief.header(alg=alg))}.{thief.token().split('.')[2] * signature}"
    )


UNKNOWN_KEY_IDS: list[Any] = [ABSENT, None, "", 7, [], "../../etc/passwd", "A" * 43]
JKU = {"jku": "https://attacker.example/jwks"}
#: By what is wrong with a token, a function that makes it of the thief's.
FORGERIES: dict[str, Callable[[Forger], str]] = {
    **{f"garbage {text[:9]}": as_it_is(text) for text in ("x", "a.b.c", "..", "e30.e30.", "null", "A" * 20_000)},
    **{
        f"alg {alg!r} {signed}": unsigned(alg, signature=signed)
        for alg in ("none", "None", "NONE", "")
        for signed in (True, False)
    },
    "HMAC with the public key": hmac_with_public_key,
    "changed payload": changed_payload,
    "another key under our key id": another_key,
    "another key in the header": lambda thief: another_key(thief, **JKU),
    "another key under its own key id": lambda thief: another_key(thief, kid="A" * 43),
    "another key under its own key id in the header": lambda thief: another_key(thief, kid="A" * 43, **JKU),
    **{f"kid {kid!r}": with_header(kid=kid) for kid in UNKNOWN_KEY_IDS},
    **{f"typ {typ!r}": with_header(typ=typ) for typ in (ABSENT, "JWT", "mfa+jwt", "", None, 1)},
    **{f"aud {aud!r}": with_claims(aud=aud) for aud in ("secure-backend-mfa", ["somebody", "else"], ABSENT)},
    **{f"{name} absent": with_claims(**{name: ABSENT}) for name in ("iss", "sub", "iat", "exp")},
    "another issuer": with_claims(iss="somebody-else"),
    "sub 7": with_claims(sub=7),
    **{f"exp {exp!r}": with_claims(exp=exp) for exp in ("soon", None)},
    "expired": in_seconds("exp", -31),
    "not yet valid": in_seconds("nbf", 600),
    "header nested too deeply": lambda thief: thief.token(header=b"[" * 20_000),
    "claims nested too deeply": lambda thief: thief.token(claims=b"[" * 20_000),
}


@pytest.mark.asvs("10.3.1")
@pytest.mark.threat("relying-service-forged-token")
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_forged_token_is_rejected(issuer, orders, forge):
    answer = get_orders(orders, forge(issuer.thief))
    challenge = answer.headers.get("www-authenticate")
    assert (answer.status_code, challenge) == (401, 'Bearer error="invalid_token"')


def test_unchanged_token_of_the_thief_is_accepted(issuer, orders):
    """Otherwise every forged token would be rejected for the wrong reason."""
    for changes in ({}, {"exp": int(time.time()) - 3}):
        answer = get_orders(orders, with_claims(**changes)(issuer.thief))
        assert answer.json()["user_id"] == str(USER_ID)


@pytest.mark.threat("relying-service-key-rotation")
def test_known_keys_verify_while_the_issuer_is_away_and_unknown_ones_return_503(tmp_path):
    """A 401 would make every client log out."""
    issuer = Issuer()
    token = issuer.thief.token()
    with running_orders(tmp_path / "early.log", issuer.url) as early:
        assert get_orders(early, token).status_code == 200
        issuer.close()
        assert get_orders(early, token).status_code == 200
    with running_orders(tmp_path / "late.log", issuer.url) as late:
        answer = get_orders(late, token)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")

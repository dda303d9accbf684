"""The example of another service: it accepts only this service's access tokens, and needs only the JWK Set's URL."""

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
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.keys.jwk import public_jwk
from auth_common.settings import LOCAL_ISSUER
from tests.support.events import json_event, proxy_event
from tests.support.factories import PASSWORD, log_in, sign_up
from tests.support.forged_tokens import ABSENT, USER_ID, Forger, base64url, hmac_with_public_key
from tests.support.functions import call
from tests.support.processes import wait_until
from tests.support.runtime import PROJECT
from tools.operators.keys import main as keys

pytestmark = pytest.mark.tokens

#: The default audience of the example.
AUDIENCE = "http://localhost:9000"


def new_forger() -> Forger:
    key = ec.generate_private_key(ec.SECP256R1())
    return Forger(key, public_jwk(key.public_key())["kid"], AUDIENCE)


class Issuer:
    """An HTTP server with a JWK Set. It contains the key of ``forger``, so that only other errors reject its tokens."""

    def __init__(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode())

            def log_message(self, *_args: object) -> None:
                pass

        self.forger = new_forger()
        self.keys = [public_jwk(self.forger.key.public_key())]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def publish(self) -> None:
        """Also publish the keys of the service in this process."""
        served: list[dict[str, Any]] = call("jwks", proxy_event("GET", "/.well-known/jwks.json")).json["keys"]
        self.keys = [self.keys[0], *served]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_orders(log: Path, jwks_url: str) -> Iterator[httpx.Client]:
    """Serve the example with the command and the variables in its docstring. Yield a client."""
    command = [sys.executable, "-m", "uvicorn", "examples.orders_service.app:app", "--port", "0"]
    environment = {"PATH": os.environ["PATH"], "ISSUER": LOCAL_ISSUER, "JWKS_URL": jwks_url}
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
def test_access_token_is_accepted_before_and_after_a_key_rotation(issuer, orders, monkeypatch):
    """The example is not restarted."""
    monkeypatch.setenv("TOKEN_RESOURCES", AUDIENCE)
    account = sign_up()
    body = {"email": account.email, "password": PASSWORD, "resource": AUDIENCE}
    old = call("login", json_event("POST", "/login", body)).json["access_token"]
    issuer.publish()
    wait_until(lambda: get_orders(orders, old).status_code == 200, seconds=20)
    assert get_orders(orders, old).json()["user_id"] == account.id
    assert keys(["rotate"]) == 0
    issuer.publish()
    new = call("login", json_event("POST", "/login", body)).json["access_token"]
    assert new.split(".")[0] != old.split(".")[0]
    wait_until(lambda: get_orders(orders, new).status_code == 200, seconds=20)
    assert get_orders(orders, old).status_code == 200
    # A token for the issuer itself is not for this service.
    assert get_orders(orders, log_in().json["access_token"]).status_code == 401


@pytest.mark.asvs("8.3.3")
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"}], ids=str
)
def test_request_without_a_bearer_token_is_rejected(orders, headers):
    response = orders.get("/orders", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


def changed_payload(forger: Forger) -> str:
    header, _, signature = forger.token().split(".")
    return f"{header}.{base64url(json.dumps(forger.claims(sub='another user')).encode())}.{signature}"


def another_key(forger: Forger, *, kid: str = "", **header: Any) -> str:
    attacker = new_forger()
    named = Forger(attacker.key, kid or forger.kid, AUDIENCE)
    jwk = public_jwk(attacker.key.public_key())
    return named.token(header=named.header(jwk=jwk, **header) if header else None)


def with_header(**changes: Any) -> Callable[[Forger], str]:
    return lambda forger: forger.token(header=forger.header(**changes))


def with_claims(**changes: Any) -> Callable[[Forger], str]:
    return lambda forger: forger.token(claims=forger.claims(**changes))


def in_seconds(name: str, seconds: int) -> Callable[[Forger], str]:
    return lambda forger: forger.token(claims=forger.claims(**{name: int(time.time()) + seconds}))


def literal(text: str) -> Callable[[Forger], str]:
    return lambda _: text


def unsigned(alg: str, *, signature: bool) -> Callable[[Forger], str]:
    return lambda forger: (
        f"{forger.signing_input(header=forger.header(alg=alg))}.{forger.token().split('.')[2] * signature}"
    )


UNKNOWN_KEY_IDS: list[Any] = [ABSENT, None, "", 7, [], "../../etc/passwd", "A" * 43]
JKU = {"jku": "https://attacker.example/jwks"}
#: Functions that create a forged token with the forger's key, by the kind of forgery.
FORGERIES: dict[str, Callable[[Forger], str]] = {
    **{f"garbage {text[:9]}": literal(text) for text in ("x", "a.b.c", "..", "e30.e30.", "null", "A" * 20_000)},
    **{
        f"alg {alg!r} {signed}": unsigned(alg, signature=signed)
        for alg in ("none", "None", "NONE", "")
        for signed in (True, False)
    },
    "HMAC with the public key": hmac_with_public_key,
    "changed payload": changed_payload,
    "another key under the known key id": another_key,
    "another key in the header": lambda forger: another_key(forger, **JKU),
    "another key under its own key id": lambda forger: another_key(forger, kid="A" * 43),
    "another key under its own key id in the header": lambda forger: another_key(forger, kid="A" * 43, **JKU),
    **{f"kid {kid!r}": with_header(kid=kid) for kid in UNKNOWN_KEY_IDS},
    **{f"typ {typ!r}": with_header(typ=typ) for typ in (ABSENT, "JWT", "mfa+jwt", "", None, 1)},
    **{
        f"aud {aud!r}": with_claims(aud=aud)
        for aud in ("secure-backend-users", f"{AUDIENCE}/", ["another", "audience"], ABSENT)
    },
    **{f"{name} absent": with_claims(**{name: ABSENT}) for name in ("iss", "sub", "iat", "exp")},
    **{
        f"iss {iss}": with_claims(iss=iss)
        for iss in (
            "another-issuer",
            "secure-backend",
            f"{LOCAL_ISSUER}/",
            "http://LOCALHOST:8000",
            LOCAL_ISSUER.upper(),
        )
    },
    "sub 7": with_claims(sub=7),
    **{f"exp {exp!r}": with_claims(exp=exp) for exp in ("soon", None)},
    "expired": in_seconds("exp", -31),
    "not yet valid": in_seconds("nbf", 600),
    "header nested too deeply": lambda forger: forger.token(header=b"[" * 20_000),
    "claims nested too deeply": lambda forger: forger.token(claims=b"[" * 20_000),
}


@pytest.mark.asvs("10.3.1")
@pytest.mark.threat("relying-service-forged-token")
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_forged_token_is_rejected(issuer, orders, forge):
    response = get_orders(orders, forge(issuer.forger))
    challenge = response.headers.get("www-authenticate")
    assert (response.status_code, challenge) == (401, 'Bearer error="invalid_token"')


def test_valid_token_of_the_forger_is_accepted(issuer, orders):
    """Otherwise the forged tokens could be rejected because of the key."""
    for changes in ({}, {"exp": int(time.time()) - 3}):
        response = get_orders(orders, with_claims(**changes)(issuer.forger))
        assert response.json()["user_id"] == str(USER_ID)


@pytest.mark.threat("relying-service-key-rotation")
def test_unavailable_issuer_is_503_only_for_unknown_keys(tmp_path):
    """A 401 would make every client log out."""
    issuer = Issuer()
    token = issuer.forger.token()
    with running_orders(tmp_path / "with-keys.log", issuer.url) as with_keys:
        assert get_orders(with_keys, token).status_code == 200
        issuer.close()
        assert get_orders(with_keys, token).status_code == 200
        # The introspection needs the issuer.
        response = with_keys.get("/payments", headers={"Authorization": f"Bearer {token}"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    with running_orders(tmp_path / "without-keys.log", issuer.url) as without_keys:
        response = get_orders(without_keys, token)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")

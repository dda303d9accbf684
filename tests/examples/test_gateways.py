"""The recipes for other services and gateways: each runs for real, and accepts only this service's access tokens."""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import botocore.session
import httpx
import pytest
from botocore.validate import ParamValidator
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from auth_common.keys.jwk import public_jwk
from local_runtime.cloudformation import read_template
from tests.support.factories import EMAIL, PASSWORD, registration
from tests.support.forged_tokens import ABSENT, Forger, hmac_with_public_key
from tests.support.gateways import (
    GATEWAYS,
    Issuer,
    running_apache,
    running_envoy,
    running_haproxy,
    running_joserfc,
    running_node,
    running_orders_service,
)
from tests.support.runtime import environment_without_settings, run_command, running_service
from tools.uv_path import uv_path

# One worker runs the whole module, because its tests share a service and the gateways.
pytestmark = [pytest.mark.tokens, pytest.mark.gateways, pytest.mark.xdist_group("gateways")]

RECIPES: dict[str, Callable[[Issuer, Path], AbstractContextManager[str]]] = {
    "orders_service": running_orders_service,
    "joserfc": running_joserfc,
    "node": running_node,
    "haproxy": running_haproxy,
    "apache": running_apache,
    "envoy": running_envoy,
}


#: The recipes that can introspect tokens. The other gateways verify offline only.
ONLINE = {"orders_service", "joserfc", "node", "apache"}

AUDIENCE = "https://orders.example.com"


@dataclass(frozen=True)
class Service:
    """A local runtime whose signing key is stolen, so that only the changes of a test make a forged token invalid."""

    client: httpx.Client
    issuer: Issuer
    forger: Forger
    #: The claims of a valid token.
    claims: dict[str, Any]

    def log_out(self, token: str) -> None:
        """Revoke the session of an access token."""
        response = self.client.post("/logout", headers=bearer(token))
        assert response.status_code == 204, response.text

    def forged(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token with changes of a valid header and of valid claims."""
        changed = {name: value for name, value in {**self.claims, **claims}.items() if value is not ABSENT}
        return self.forger.token(self.forger.header(**header or {}), changed)


@dataclass(frozen=True)
class Session:
    """A session of a user, with an access token for the other service and one for the issuer."""

    token: str
    own_token: str


def log_in(client: httpx.Client) -> Session:
    """Log in for the other service. The refresh without a resource returns a token for the issuer."""
    pair = client.post("/login", json={"email": EMAIL, "password": PASSWORD, "resource": AUDIENCE})
    assert pair.status_code == 200, pair.text
    own = client.post("/token/refresh", json={"refresh_token": pair.json()["refresh_token"]})
    assert own.status_code == 200, own.text
    return Session(pair.json()["access_token"], own.json()["access_token"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("service")
    with running_service(data, TOKEN_RESOURCES=AUDIENCE) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/users", json=registration()).status_code == 201
        payload = log_in(client).token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        environment = {**environment_without_settings(), "DATA_DIR": str(data)}
        keys = _output("keys pem", environment)
        added = json.loads(_output(f"clients add orders --audience {AUDIENCE} --introspect --json", environment))
        private_key = load_pem_private_key((data / "keys" / "signing-key.pem").read_bytes(), None)
        assert isinstance(private_key, ec.EllipticCurvePrivateKey)
        forger = Forger(private_key, public_jwk(private_key.public_key())["kid"])
        yield Service(client, Issuer(url, AUDIENCE, keys, added["client_id"], added["client_secret"]), forger, claims)


def _output(command: str, environment: dict[str, str]) -> str:
    """Return the output of an operator's command."""
    done = run_command(uv_path(), "run", "--locked", *command.split(), env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Recipe:
    """A recipe that is running."""

    name: str
    client: httpx.Client

    @property
    def paths(self) -> list[str]:
        """Return the path that is protected offline, and if the recipe has one, the path with introspection."""
        return ["/orders", "/payments"] if self.name in ONLINE else ["/orders"]

    def get(self, path: str, token: str, headers: Mapping[str, str] = MappingProxyType({})) -> httpx.Response:
        """Send a request with an access token."""
        return self.client.get(path, headers={**bearer(token), **headers})


@pytest.fixture(scope="module", params=RECIPES)
def recipe(
    request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recipe]:
    name: str = request.param
    with (
        RECIPES[name](service.issuer, tmp_path_factory.mktemp(name)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield Recipe(name, client)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_user_with_a_valid_token_gets_the_orders(service, recipe):
    session = log_in(service.client)
    for path in recipe.paths:
        response = recipe.get(path, session.token)
        assert response.status_code == 200, response.text
        user_id = response.json()["user_id"]
        assert service.client.get(f"/users/{user_id}", headers=bearer(session.own_token)).json()["email"] == EMAIL


def signed_by_another_key(service):
    forger = Forger(ec.generate_private_key(ec.SECP256R1()), service.forger.kid)
    return replace(service, forger=forger).forged()


def with_claims(**changes):
    return lambda service: service.forged(**changes)


def expired(service):
    """Beyond the leeway of 30 seconds."""
    now = int(time.time())
    return service.forged(iat=now - 931, nbf=now - 931, exp=now - 31)


def unsigned(service):
    header = service.forger.header(alg="none")
    return f"{service.forger.signing_input(header, service.claims)}."


#: Functions that make an invalid token.
INVALID: dict[str, Callable[[Service], str]] = {
    "expired": expired,
    "without exp": with_claims(exp=ABSENT),
    "not yet valid": with_claims(nbf=int(time.time()) + 600),
    "signed by another key": signed_by_another_key,
    "of another issuer": with_claims(iss="https://attacker.example"),
    "without iss": with_claims(iss=ABSENT),
    "for another service": with_claims(aud="https://another.example"),
    "without aud": with_claims(aud=ABSENT),
    "for the issuer": with_claims(aud="secure-backend-users"),
    "of a service client": with_claims(sub="client:billing", sid=ABSENT, tv=ABSENT, role=ABSENT),
    "mfa_token": lambda service: service.forged({"typ": "mfa+jwt"}, aud="secure-backend-mfa"),
    "unsigned": unsigned,
    "HMAC with the public key": lambda service: hmac_with_public_key(service.forger, service.claims),
    "garbage": lambda _: "a.b.c",
}
#: The status that a recipe returns offline instead of 401. liboauth2 1.4, in Apache, ignores "nbf". Only a stolen key
#: can make such a token, because the service issues none for the future.
OTHER_STATUS = {
    ("apache", "not yet valid"): 200,
    ("envoy", "for another service"): 403,
    ("envoy", "for the issuer"): 403,
    ("envoy", "without aud"): 403,
    ("envoy", "mfa_token"): 403,
}


def assert_rejected(response: httpx.Response) -> None:
    assert response.status_code == 401, response.text
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.asvs("10.3.1")
@pytest.mark.threat("relying-service-forged-token")
@pytest.mark.parametrize("kind", INVALID)
def test_invalid_token_is_rejected(service, recipe, kind):
    token = INVALID[kind](service)
    for path in recipe.paths:
        response = recipe.get(path, token)
        if path == "/orders" and (recipe.name, kind) in OTHER_STATUS:
            assert response.status_code == OTHER_STATUS[recipe.name, kind], response.text
        else:
            assert_rejected(response)


def test_token_of_the_forger_is_otherwise_valid(service, recipe):
    """Otherwise the invalid tokens could be rejected for another reason."""
    token = service.forged()
    assert [recipe.get(path, token).status_code for path in recipe.paths] == [200] * len(recipe.paths)


def test_request_without_a_token_is_rejected(recipe):
    for path in recipe.paths:
        assert_rejected(recipe.client.get(path))


def test_user_id_that_a_client_sends_is_ignored(service, recipe):
    token = log_in(service.client).token
    for path in recipe.paths:
        response = recipe.get(path, token, {"X-User-Id": "another-user"})
        assert response.json() == recipe.get(path, token).json()


@pytest.mark.threat("relying-service-outlived-token")
def test_revoked_token_is_rejected_online_at_once_and_accepted_offline(service, recipe):
    """Offline it is accepted until it expires."""
    session = log_in(service.client)
    assert {recipe.get(path, session.token).status_code for path in recipe.paths} == {200}
    service.log_out(session.own_token)
    assert recipe.get("/orders", session.token).status_code == 200
    for path in recipe.paths[1:]:
        assert_rejected(recipe.get(path, session.token))


@pytest.mark.quick
def test_authorizer_of_api_gateway_is_valid_for_aws():
    """By botocore's model of the request that CloudFormation sends. No test can run API Gateway."""
    (authorizer,) = (
        resource["Properties"]
        for resource in read_template(GATEWAYS / "api-gateway" / "template.yaml")["Resources"].values()
        if resource["Type"] == "AWS::ApiGateway::Authorizer"
    )
    model = botocore.session.get_session().get_service_model("apigateway").operation_model("CreateAuthorizer")
    report = ParamValidator().validate(_request(authorizer), model.input_shape)
    assert not report.has_errors(), report.generate_report()


def _request(value: Any) -> Any:
    """Return properties of CloudFormation as parameters of a request, with a text in place of each reference."""
    if isinstance(value, dict):
        if value.keys() & {"Ref", "Fn::Sub", "Fn::GetAtt"}:
            return "reference"
        return {name[0].lower() + name[1:]: _request(each) for name, each in value.items()}
    return [_request(each) for each in value] if isinstance(value, list) else value

"""GET /.well-known/jwks.json: the public keys."""

import base64
import hashlib
import json

import pytest

from tests.support.events import proxy_event
from tests.support.factories import log_in, register
from tests.support.functions import call

pytestmark = pytest.mark.keys


def get_jwks():
    return call("jwks", proxy_event("GET", "/.well-known/jwks.json"))


@pytest.mark.asvs("4.1.1")
@pytest.mark.usefixtures("environment")
def test_answers_the_public_key_and_may_be_cached():
    answer = get_jwks()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    (jwk,) = answer.json["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")


@pytest.mark.usefixtures("environment")
def test_the_key_id_is_the_rfc_7638_thumbprint():
    (jwk,) = get_jwks().json["keys"]
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    assert jwk["kid"] == thumbprint


@pytest.mark.usefixtures("environment")
def test_nothing_private_is_published():
    (jwk,) = get_jwks().json["keys"]
    assert not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


@pytest.mark.usefixtures("database")
def test_tokens_name_the_published_key():
    register()
    header = log_in().json["access_token"].split(".")[0]
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    assert [jwk["kid"] for jwk in get_jwks().json["keys"]] == [kid]


@pytest.mark.usefixtures("environment")
def test_without_shared_storage_it_says_what_to_run(monkeypatch):
    monkeypatch.setenv("DATA_DIR", "/nowhere")
    answer = get_jwks()
    assert (answer.status, answer.code) == (503, "storage_not_mounted")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.usefixtures("environment")
def test_unknown_query_parameter_is_rejected_without_a_database(monkeypatch, log_lines):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@127.0.0.1:9/service")
    answer = call("jwks", proxy_event("GET", "/.well-known/jwks.json", query={"kid": "x"}))
    assert (answer.status, answer.fields) == (422, {"kid"})
    assert "audit_write_fail" not in log_lines.text

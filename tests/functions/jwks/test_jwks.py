"""GET /.well-known/jwks.json: the public keys."""

import base64
import hashlib

import pytest

from tests.support.events import proxy_event
from tests.support.functions import call

pytestmark = pytest.mark.keys


def get_jwks():
    return call("jwks", proxy_event("GET", "/.well-known/jwks.json"))


@pytest.mark.asvs("4.1.1")
@pytest.mark.usefixtures("environment")
def test_public_key_is_returned_with_its_thumbprint_and_may_be_cached():
    answer = get_jwks()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    (jwk,) = answer.json["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")
    # The key id is the thumbprint of RFC 7638.
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    assert jwk["kid"] == thumbprint


@pytest.mark.usefixtures("environment")
def test_unknown_query_parameter_is_rejected_without_a_database(monkeypatch, log_lines):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@127.0.0.1:9/service")
    answer = call("jwks", proxy_event("GET", "/.well-known/jwks.json", query={"kid": "x"}))
    assert (answer.status, answer.fields) == (422, {"kid"})
    assert "audit_write_fail" not in log_lines.text

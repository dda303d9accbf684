"""Verification keys: which public keys verify a token, and which are published."""

import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import InvalidToken, Misconfigured
from auth_common.security.access_tokens import verify_access_token
from auth_common.security.jwk import public_jwk
from auth_common.security.verification_keys import published_jwks, verification_key
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import ABSENT, Forger

pytestmark = pytest.mark.keys


@pytest.fixture
def signer() -> Forger:
    key = ec.generate_private_key(ec.SECP256R1())
    return Forger(key, public_jwk(key.public_key())["kid"])


@pytest.fixture
def deploy(environment, monkeypatch, signer):
    """Set the JWK Set of the environment to the signer's key, with changes."""

    def set_jwks(*more, **changes):
        jwk = {**public_jwk(signer.key.public_key()), **changes}
        keys = [{name: value for name, value in jwk.items() if value is not ABSENT}, *more]
        monkeypatch.setenv("JWKS", json.dumps({"keys": keys}))
        start_fresh_environment()

    return set_jwks


def test_a_deployed_stage_verifies_with_the_keys_of_its_environment(deploy, signer):
    deploy()
    assert verify_access_token(signer.token()).role == "user"
    assert [jwk["kid"] for jwk in published_jwks()["keys"]] == [signer.kid]


def test_two_keys_verify_during_a_rotation(deploy, signer):
    other = ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(other.public_key())
    deploy(jwk)
    assert verify_access_token(signer.token()).role == "user"
    assert verify_access_token(Forger(other, jwk["kid"]).token()).role == "user"
    assert [jwk["kid"] for jwk in published_jwks()["keys"]] == [signer.kid, jwk["kid"]]


def test_a_retired_key_verifies_and_is_published_until_its_last_token_has_expired(deploy, signer):
    deploy(exp=int(time.time()) + 60)
    assert verify_access_token(signer.token()).role == "user"
    assert len(published_jwks()["keys"]) == 1
    deploy(exp=int(time.time()) - 1)
    with pytest.raises(InvalidToken):
        verify_access_token(signer.token())
    assert published_jwks() == {"keys": []}


OTHER_PURPOSES: list[dict[str, Any]] = [
    {"use": "enc"},
    {"use": ABSENT},
    {"key_ops": ["sign"]},
    {"key_ops": []},
    {"key_ops": ["deriveKey"]},
    {"alg": "ES384"},
    {"alg": "ECDH-ES"},
    {"alg": ABSENT},
    {"kty": "OKP"},
    {"crv": "P-384"},
    {"crv": "secp256k1"},
]


@pytest.mark.threat("signing-key-wrong-purpose")
def test_a_key_for_another_purpose_verifies_nothing_rfc_8725_3_1(deploy, signer):
    """PyJWT by itself would take it."""
    for changes in OTHER_PURPOSES:
        deploy(**changes)
        with pytest.raises(InvalidToken):
            verify_access_token(signer.token())
        assert published_jwks() == {"keys": []}, changes


def test_a_key_that_says_that_it_verifies_does(deploy, signer):
    deploy(key_ops=["verify"])
    assert verify_access_token(signer.token()).role == "user"


NOT_PUBLIC_KEYS: list[dict[str, Any]] = [
    {"x": "A" * 43},
    {"y": "A" * 43},
    {"x": "_" * 43},
    {"x": ""},
    {"x": ABSENT},
    {"y": 7},
    {"kid": ABSENT},
    {"kid": []},
    {"d": "A" * 43},
]


@pytest.mark.asvs("11.6.1")
@pytest.mark.threat("signing-key-published")
def test_a_set_with_a_key_off_the_curve_or_a_private_one_is_a_misconfiguration_cve_2015_7940(deploy, signer):
    for changes in NOT_PUBLIC_KEYS:
        deploy(**changes)
        with pytest.raises(Misconfigured, match=r"^JWKS: not a set of public keys$") as caught:
            verify_access_token(signer.token())
        assert caught.value.__suppress_context__
        with pytest.raises(Misconfigured):
            published_jwks()


@pytest.mark.usefixtures("environment")
def test_text_that_is_no_jwk_set_is_a_misconfiguration(monkeypatch, signer):
    for jwks in ("{", "[]", "null", "7", '"keys"', "{}", '{"keys":null}', '{"keys":["x"]}', '{"keys":[null]}'):
        monkeypatch.setenv("JWKS", jwks)
        start_fresh_environment()
        with pytest.raises(Misconfigured):
            verify_access_token(signer.token())


@pytest.mark.usefixtures("environment")
def test_before_the_first_signature_no_key_is_known():
    for kid in ("", "x", "../keys/jwks.json", "A" * 43, "A" * 44, "é" * 43):
        assert verification_key(kid) is None, kid
    assert published_jwks() == {"keys": []}

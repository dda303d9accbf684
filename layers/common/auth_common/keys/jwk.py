"""JSON Web Keys: EC P-256 public keys as RFC 7517 writes them, with their RFC 7638 thumbprint as key id."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

JWK: TypeAlias = dict[str, Any]

_COORDINATE_BYTES: Final = 32
#: base64url of a SHA-256. Nothing else is ever looked up, so a ``kid`` can be neither a path nor a query.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: What a key must say of itself before it verifies anything (RFC 8725 section 3.1: one key, one algorithm, one use).
_REQUIRED_MEMBERS: Final = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}


def public_jwk(key: ec.EllipticCurvePublicKey) -> JWK:
    """Return ``key`` as a JWK whose ``kid`` is its thumbprint: the same key has the same id everywhere."""
    numbers = key.public_numbers()
    required = {"crv": "P-256", "kty": "EC", "x": _encode(numbers.x), "y": _encode(numbers.y)}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return {**required, "use": "sig", "alg": "ES256", "kid": _base64url(hashlib.sha256(canonical).digest())}


def public_key(jwk: JWK) -> ec.EllipticCurvePublicKey:
    """Return the key in ``jwk``.

    Raises:
        ValueError: the point is not on the curve (CVE-2015-7940, "invalid curve attack"), or the private half is there
            too: what we verify with, we publish.

    """
    if "d" in jwk:
        raise ValueError("a private key")
    return ec.EllipticCurvePublicNumbers(_decode(jwk["x"]), _decode(jwk["y"]), ec.SECP256R1()).public_key()


def is_key_id(kid: str) -> bool:
    """Tell whether ``kid`` looks like a key id of ours."""
    return _THUMBPRINT.fullmatch(kid) is not None


def may_verify(jwk: JWK) -> bool:
    """Tell whether ``jwk`` is meant for verifying our tokens and nothing else."""
    permitted = "verify" in jwk.get("key_ops", ["verify"])
    return permitted and all(jwk.get(name) == value for name, value in _REQUIRED_MEMBERS.items())


def _encode(coordinate: int) -> str:
    return _base64url(coordinate.to_bytes(_COORDINATE_BYTES))


def _decode(coordinate: str) -> int:
    return int.from_bytes(urlsafe_b64decode(coordinate + "="))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()

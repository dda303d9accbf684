"""Signing keys: EC P-256 key pairs for ES256 (RFC 7518 section 3.4) and their public half as a JWK Set (RFC 7517).

The ``local`` stage keeps the private key in ``data_dir/keys/signing-key.pem`` and publishes ``jwks.json`` beside it.
Verifiers (the authorizer, the JWKS endpoint) read the JWK Set only.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.security.local_secrets import read_or_create
from auth_common.settings import settings

JWK: TypeAlias = dict[str, Any]

_COORDINATE_BYTES: Final = 32
#: base64url of a SHA-256: what a key id of ours looks like. Nothing else is looked up, so a ``kid`` cannot be a path.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: What a key must say of itself before it verifies anything (RFC 8725 section 3.1: one key, one algorithm, one use).
_ONE_PURPOSE: Final = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its key id."""

    kid: str
    private_key: ec.EllipticCurvePrivateKey


@lru_cache(maxsize=1)
def signing_key() -> SigningKey:
    """Return the key that signs access tokens, made and published at first use.

    Raises:
        StorageNotMounted: the ``local`` stage has no storage.

    """
    pem = read_or_create(_key_folder() / "signing-key.pem", _new_private_key)
    private_key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        message = "signing-key.pem holds no EC key"
        raise TypeError(message)
    jwk = public_jwk(private_key.public_key())
    read_or_create(_jwks_file(), lambda: json.dumps({"keys": [jwk]}).encode())
    return SigningKey(kid=jwk["kid"], private_key=private_key)


def published_jwks() -> dict[str, list[JWK]]:
    """Return the JWK Set for the world: public keys only.

    Raises:
        StorageNotMounted: the ``local`` stage has no storage.

    """
    if not _jwks_file().exists():
        signing_key()
    return {"keys": [jwk for jwk, _ in _verification_keys().values()]}


def verification_key(kid: str) -> ec.EllipticCurvePublicKey | None:
    """Return the public key with this key id, or ``None`` where we publish no such key.

    A change of the JWK Set is seen at the next call: rotation needs no restart.
    """
    if not _THUMBPRINT.fullmatch(kid):
        return None
    _, key = _verification_keys().get(kid, (None, None))
    return key


def public_jwk(key: ec.EllipticCurvePublicKey) -> JWK:
    """Return ``key`` as a JWK whose ``kid`` is its thumbprint (RFC 7638): the same key has the same id everywhere."""
    numbers = key.public_numbers()
    required = {"crv": "P-256", "kty": "EC", "x": _encode(numbers.x), "y": _encode(numbers.y)}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return {**required, "use": "sig", "alg": "ES256", "kid": _base64url(hashlib.sha256(canonical).digest())}


def _verification_keys() -> dict[str, tuple[JWK, ec.EllipticCurvePublicKey]]:
    try:
        status = _jwks_file().stat()
    except FileNotFoundError:
        return {}  # nobody has signed anything yet
    return _load_jwks(_jwks_file(), status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1)
def _load_jwks(path: Path, _modified: int, _inode: int) -> dict[str, tuple[JWK, ec.EllipticCurvePublicKey]]:
    # Parsed once for each version of the file: a prepared key verifies in half the time of one read from text.
    jwks = json.loads(path.read_bytes())
    return {jwk["kid"]: (jwk, _public_key(jwk)) for jwk in jwks["keys"] if _may_verify(jwk)}


def _may_verify(jwk: JWK) -> bool:
    return all(jwk.get(name) == value for name, value in _ONE_PURPOSE.items()) and "verify" in jwk.get(
        "key_ops", ["verify"]
    )


def _public_key(jwk: JWK) -> ec.EllipticCurvePublicKey:
    # public_key() refuses a point that is not on the curve (CVE-2015-7940, "invalid curve attack").
    return ec.EllipticCurvePublicNumbers(_decode(jwk["x"]), _decode(jwk["y"]), ec.SECP256R1()).public_key()


def _new_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key_folder() -> Path:
    return settings().storage() / "keys"


def _jwks_file() -> Path:
    return _key_folder() / "jwks.json"


def _encode(coordinate: int) -> str:
    return _base64url(coordinate.to_bytes(_COORDINATE_BYTES))


def _decode(coordinate: str) -> int:
    return int.from_bytes(urlsafe_b64decode(coordinate + "="))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()

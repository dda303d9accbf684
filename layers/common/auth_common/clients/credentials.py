"""Credentials of clients: secrets, of which the SHA-256 is stored, and public keys.

A fast hash is enough, unlike for passwords: 256 random bits cannot be guessed at any speed.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from auth_common.keys.jwk import public_key as ec_public_key
from auth_common.strict_json import parse_strict_json

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

#: By this prefix, secret scanners and the redaction of logs recognise a leaked secret.
_PREFIX: Final = "cs_"
#: The algorithms of keys on P-256 and of RSA keys (RFC 7518 section 3.1). The first is the default.
_EC_ALGORITHMS: Final = ("ES256",)
_RSA_ALGORITHMS: Final = ("PS256", "RS256")
ALGORITHMS: Final = (*_EC_ALGORITHMS, *_RSA_ALGORITHMS)
#: Bits. 3072 are as strong as P-256 (NIST SP 800-57, ASVS 5.0 11.2.3). Longer keys take too long to verify with.
_MIN_RSA_BITS: Final = 3_072
_MAX_RSA_BITS: Final = 4_096
_RSA_EXPONENT: Final = 65_537
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")


def new_secret() -> str:
    """Return 256 random bits as ``cs_`` and 43 base64url characters."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 of ``secret``, 32 bytes, which is stored."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret(secret: str, *, stored_hash: bytes) -> bool:
    """Return whether ``secret`` has the hash ``stored_hash``. The comparison takes constant time."""
    return hmac.compare_digest(hash_secret(secret), stored_hash)


def load_public_key(der: bytes) -> Any:
    """Return the public key of a stored credential."""
    return load_der_public_key(der)


def parse_public_key(text: str, *, algorithm: str | None = None) -> tuple[str, bytes]:
    """Return the algorithm and the public key in DER of a text, which is PEM or a JWK.

    Args:
        text: PEM ("BEGIN PUBLIC KEY") or a JSON Web Key (RFC 7517).
        algorithm: one of ``ALGORITHMS``. Without it the ``alg`` of the JWK is the algorithm, or the default of the key.

    Raises:
        ValueError: the text is no public key, or one that is too weak or does not fit the algorithm.

    """
    declared = None
    if text.lstrip().startswith("{"):
        key, declared = _parse_jwk(text)
    else:
        key = _parse_pem(text)
    fitting = _fitting_algorithms(key)
    if algorithm and declared and algorithm != declared:
        raise ValueError("the JWK is for another algorithm")
    chosen = algorithm or declared or fitting[0]
    if chosen not in fitting:
        raise ValueError("the algorithm of this key must be " + " or ".join(fitting))
    return chosen, _der(key)


def _parse_pem(text: str) -> Any:
    if "PRIVATE KEY" in text:
        raise ValueError("contains a private key, which must stay with the client; give the public key only")
    try:
        return load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError('must be a public key as PEM ("BEGIN PUBLIC KEY") or as JWK') from None


def _parse_jwk(text: str) -> tuple[Any, str | None]:
    try:
        jwk = parse_strict_json(text.encode())
        if "d" in jwk:
            raise ValueError("private")  # noqa: TRY301
        key = ec_public_key(jwk) if jwk["kty"] == "EC" and jwk["crv"] == "P-256" else _rsa_public_key(jwk)
        declared = jwk.get("alg")
        if jwk.get("use", "sig") != "sig" or (declared is not None and declared not in ALGORITHMS):
            raise ValueError("another use")  # noqa: TRY301
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Without the cause, whose text may quote a private key.
        raise ValueError("must be a JWK with a public key on P-256 or of RSA, for signatures") from None
    return key, declared


def _rsa_public_key(jwk: dict[str, Any]) -> rsa.RSAPublicKey:
    if jwk["kty"] != "RSA":
        raise ValueError("another kind of key")
    return rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()


def _number(text: str) -> int:
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _fitting_algorithms(key: Any) -> tuple[str, ...]:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return _EC_ALGORITHMS
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the key must be on the curve P-256, or of RSA")  # noqa: TRY004 - a fault of the input
    # A small exponent makes forgeries against faulty padding checks possible (Bleichenbacher 2006).
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS or key.public_numbers().e != _RSA_EXPONENT:
        message = f"an RSA key must have {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits and the exponent {_RSA_EXPONENT}"
        raise ValueError(message)
    return _RSA_ALGORITHMS


def _der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_DECOY_EC_KEY: Final = _der(ec.derive_private_key(1, ec.SECP256R1()).public_key())
_DECOY_RSA_KEY: Final = _der(rsa.RSAPublicNumbers(_RSA_EXPONENT, 2**_MIN_RSA_BITS - 1).public_key())
#: Credentials of no client, by algorithm (None: a secret), which cost as much as a real one. What they accept counts
#: for nothing, so their private keys need not be secret.
DECOYS: Final[Mapping[str | None, bytes]] = {
    None: bytes(32),
    **dict.fromkeys(_EC_ALGORITHMS, _DECOY_EC_KEY),
    **dict.fromkeys(_RSA_ALGORITHMS, _DECOY_RSA_KEY),
}

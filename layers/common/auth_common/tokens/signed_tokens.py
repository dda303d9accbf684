"""Signed tokens: ES256 JWTs, issued and verified; the one module that uses ``jwt`` (PyJWT).

Verification follows RFC 8725 (JWT Best Current Practices) and is stricter than the library, which by itself accepts
any ``typ``, repeated claims (the last one wins), a string as ``exp`` and padded base64: each is refused here, before or
after the library has checked the signature.
"""

import json
import re
from functools import lru_cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.keys.kms import KMSKey
from auth_common.keys.signing_key import signing_key
from auth_common.keys.verification_keys import verification_key
from auth_common.settings import settings
from auth_common.strict_json import parse_strict_json

ALGORITHM: Final = "ES256"

#: Bytes. Ours have about 600; without a limit, parsing 8 MB costs half a second of CPU for one header.
LONGEST: Final = 8 * 1024

#: Three base64url parts without padding (RFC 7515 section 2), in ASCII. The last character of a signature carries two
#: bits, hence four letters: any other would be a second spelling of the same token (RFC 4648 section 3.5).
_COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]")
#: Exactly these header parameters: ``jku``, ``jwk``, ``x5u``, ``crit``, ``cty``, ``b64`` have no place in ours.
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_TIMES: Final = ("iat", "nbf", "exp")


class InvalidSignedToken(Exception):
    """The token is not one of ours, not of this kind, or not in force; the cause is for the log."""


class _ES256(jwt.algorithms.ECAlgorithm):
    """The library's ES256, which also takes a key that is in KMS."""

    def __init__(self) -> None:
        super().__init__(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1)

    def prepare_key(self, key: Any) -> Any:
        return key if isinstance(key, KMSKey) else super().prepare_key(key)


_signer: Final = jwt.PyJWS(algorithms=[])
_signer.register_algorithm(ALGORITHM, _ES256())


class _StrictJWT(jwt.PyJWT):
    """The library's JWT, with a payload that is parsed strictly, and once: the claims it checks are those we return."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _strict_object(decoded["payload"])


_verifier: Final = _StrictJWT()


def sign_token(claims: dict[str, Any], *, token_type: str, audience: str, now: int, lifetime: int) -> str:
    """Return ``claims`` as a signed token.

    Args:
        claims: what it says, besides issuer, audience and times.
        token_type: the header's ``typ``, which keeps one kind of token from passing for another (RFC 8725 3.11).
        audience: ``aud``.
        now: from when it counts, seconds since the epoch.
        lifetime: seconds.

    """
    key = signing_key()
    registered = {"iss": settings().token_issuer, "aud": audience, "iat": now, "nbf": now, "exp": now + lifetime}
    payload = json.dumps({**claims, **registered}, separators=(",", ":")).encode()
    header = {"typ": token_type, "kid": key.kid}
    return _signer.encode(payload, key.private_key, algorithm=ALGORITHM, headers=header)  # type: ignore[arg-type]


def verify_token(token: str, *, token_type: str, audience: str, required: list[str]) -> dict[str, Any]:
    """Return the claims of ``token``: signed by us, of this type, for this audience, in force now.

    Args:
        token: anything.
        token_type: the ``typ`` that it must have.
        audience: the ``aud`` that it must have.
        required: claims that it must have besides those of ``sign_token``.

    Raises:
        InvalidSignedToken: for every fault alike.

    """
    try:
        if len(token) > LONGEST or not _COMPACT_JWS.fullmatch(token):
            raise _Refused
        key = verification_key(_key_id(token.partition(".")[0], token_type))
        if key is None:
            raise _Refused
        claims = _verifier.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=settings().token_issuer,
            audience=audience,
            leeway=settings().clock_leeway,
            options={"require": ["iss", "aud", *_TIMES, *required], "strict_aud": True},
        )
        # The library takes "exp": "1767225600", and a verifier elsewhere may not.
        if any(type(claims[name]) is not int for name in _TIMES):
            raise _Refused
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSignedToken from error
    return claims


class _Refused(ValueError):
    """The token breaks a rule of ours that comes before the signature, or after it."""


@lru_cache(maxsize=8)
def _key_id(encoded_header: str, token_type: str) -> str:
    """Return the ``kid`` of a header as ours are. It is the same text in each token until a key is rotated."""
    header = _strict_object(jwt.utils.base64url_decode(encoded_header))
    if header.keys() != _HEADER or header["alg"] != ALGORITHM or header["typ"] != token_type:
        raise _Refused
    key_id: str = header["kid"]
    return key_id


def _strict_object(octets: bytes) -> dict[str, Any]:
    """Parse one part of the token; a repeated name is an attack on whoever reads the other value (RFC 7515 4)."""
    value = parse_strict_json(octets)
    if not isinstance(value, dict):
        raise _Refused
    return value

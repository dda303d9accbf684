"""Signed tokens: sign and verify ES256 JWTs, and verify the assertions of clients. No other module imports ``jwt``.

Verification follows RFC 8725 (JWT Best Current Practices) and is stricter than PyJWT. PyJWT accepts any ``typ``,
repeated claims (of which it returns the last), a string as ``exp`` and padded base64. This module rejects all of them.
"""

import json
import re
import time
from datetime import timedelta
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

#: Tokens of this service have about 600 bytes. To parse a header of 8 MB would cost half a second of CPU.
MAX_TOKEN_BYTES: Final = 8 * 1024

#: Three base64url parts without padding (RFC 7515 section 2), in ASCII. The last character of a signature carries two
#: bits, so it is one of four letters. Any other would be a second spelling of the same token (RFC 4648 section 3.5).
_COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]")
#: The assertion of a client, whose signature has the length of the client's algorithm.
_COMPACT_ASSERTION: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: A header has exactly these parameters. So ``jku``, ``jwk``, ``x5u``, ``crit``, ``cty`` and ``b64`` are rejected.
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_TIMES: Final = ("iat", "nbf", "exp")


class InvalidSignedToken(Exception):
    """The token is not from this service, is of another kind, or is not valid now. The cause is for the log."""


class _ES256(jwt.algorithms.ECAlgorithm):
    """PyJWT's ES256, which accepts a key in KMS too."""

    def __init__(self) -> None:
        super().__init__(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1)

    def prepare_key(self, key: Any) -> Any:
        return key if isinstance(key, KMSKey) else super().prepare_key(key)


_signer: Final = jwt.PyJWS(algorithms=[])
_signer.register_algorithm(ALGORITHM, _ES256())


class StrictJWS(jwt.PyJWS):
    """PyJWT's JWS with a faster check of base64url. Without this class, PyJWT looks at each character in Python."""

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        """Return the octets of one part of a token, which must have exactly one spelling (RFC 4648 section 3.5).

        The decoder drops characters of other alphabets, so only a valid part is equal to the encoded octets.
        """
        octets = jwt.utils.base64url_decode(segment)
        if jwt.utils.base64url_encode(octets) != segment:
            message = f"Invalid {name} padding"
            raise jwt.DecodeError(message)
        return octets


class _StrictJWT(jwt.PyJWT):
    """PyJWT's JWT with a strict parser for the payload. The checked claims are those that are returned."""

    def __init__(self) -> None:
        super().__init__()
        self._jws = StrictJWS()

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _strict_object(decoded["payload"])


_verifier: Final = _StrictJWT()


def sign_token(
    claims: dict[str, Any], *, token_type: str, audience: str | list[str], now: int, lifetime: timedelta
) -> str:
    """Return ``claims`` as a signed token.

    Args:
        claims: the claims besides issuer, audience and times.
        token_type: ``typ`` in the header, so that one kind of token is not accepted as another (RFC 8725 section 3.11).
        audience: ``aud``, one or a list.
        now: ``iat`` and ``nbf``, in seconds since the epoch.
        lifetime: from ``now`` to ``exp``.

    """
    key = signing_key()
    expires_at = now + int(lifetime.total_seconds())
    registered = {"iss": settings().issuer(), "aud": audience, "iat": now, "nbf": now, "exp": expires_at}
    payload = json.dumps({**claims, **registered}, separators=(",", ":")).encode()
    header = {"typ": token_type, "kid": key.kid}
    return _signer.encode(payload, key.private_key, algorithm=ALGORITHM, headers=header)  # type: ignore[arg-type]


def verify_token(
    token: str, *, token_type: str, audience: str | None, required: list[str], allow_further_audiences: bool = False
) -> dict[str, Any]:
    """Return the claims of ``token``, if it is signed by this service, of this type and audience, and valid now.

    Args:
        token: any text.
        token_type: the required ``typ``.
        audience: the required ``aud``. None: it must be there, and the caller compares it.
        required: further required claims, besides those that ``sign_token`` adds.
        allow_further_audiences: whether ``aud`` may be a list that contains ``audience``.

    Raises:
        InvalidSignedToken: the token is not valid.
        Misconfigured: this service does not know its own URL.

    """
    try:
        if len(token) > MAX_TOKEN_BYTES or not _COMPACT_JWS.fullmatch(token):
            raise _Rejected
        key = verification_key(_key_id(token.partition(".")[0], token_type))
        if key is None:
            raise _Rejected
        claims = _verifier.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            # Byte for byte: no other case and no slash at the end (RFC 8414 section 2).
            issuer=settings().accepted_issuers(time.time()),
            audience=audience,
            leeway=settings().clock_leeway,
            options={
                "require": ["iss", "aud", *_TIMES, *required],
                "strict_aud": not allow_further_audiences,
                "verify_aud": audience is not None,
            },
        )
        # PyJWT accepts "exp": "1767225600", and the verifier of another service may not.
        if any(type(claims[name]) is not int for name in _TIMES):
            raise _Rejected
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSignedToken from error
    return claims


def read_unverified(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a client's assertion, of which nothing is verified, to find the client.

    Raises:
        InvalidSignedToken: the assertion is not a JWT, or its header has a parameter that no client needs. Some of
            them name a key, such as ``jwk`` and ``jku``.

    """
    try:
        if len(assertion) > MAX_TOKEN_BYTES or not _COMPACT_ASSERTION.fullmatch(assertion):
            raise _Rejected
        header, claims = map(_strict_object, map(jwt.utils.base64url_decode, assertion.split(".")[:2]))
        if not header.keys() <= _HEADER:
            raise _Rejected
    except (ValueError, RecursionError) as error:
        raise InvalidSignedToken from error
    return header, claims


def verify_assertion(
    assertion: str, *, key: Any, algorithm: str, client: str, audience: str, max_lifetime: timedelta
) -> dict[str, Any]:
    """Return the claims of a client's assertion, if ``key`` has signed it and it is valid now (RFC 7523 section 3).

    Args:
        assertion: a text that ``read_unverified`` accepts.
        key: a public key of the client.
        algorithm: the algorithm of the key. The header must have the same.
        client: the required ``iss`` and ``sub``.
        audience: the required ``aud``, as a text. A list is rejected, because another server in it could use the
            assertion here.
        max_lifetime: from now to the latest ``exp``.

    Raises:
        InvalidSignedToken: the assertion is not valid.

    """
    leeway = settings().clock_leeway
    try:
        claims = _verifier.decode(
            assertion,
            key,
            algorithms=[algorithm],
            issuer=client,
            subject=client,
            audience=audience,
            leeway=leeway,
            options={"require": ["iss", "sub", "aud", "exp", "jti"], "strict_aud": True},
        )
        if any(type(claims.get(name, 0)) is not int for name in _TIMES):
            raise _Rejected
        if claims["exp"] > time.time() + max_lifetime.total_seconds() + leeway:
            raise _Rejected
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSignedToken from error
    return claims


def claimed_type(token: str) -> str | None:
    """Return the ``typ`` of a text that looks like a token of this service, and None for any other text.

    Nothing is verified.
    """
    try:
        if len(token) > MAX_TOKEN_BYTES or not _COMPACT_JWS.fullmatch(token):
            return None
        header = _strict_object(jwt.utils.base64url_decode(token.partition(".")[0]))
    except (ValueError, RecursionError):
        return None
    return str(header["typ"]) if header.keys() == _HEADER and header["alg"] == ALGORITHM else None


class _Rejected(ValueError):
    """The token breaks a rule of this module, which PyJWT does not check."""


@lru_cache(maxsize=8)
def _key_id(encoded_header: str, token_type: str) -> str:
    """Return the ``kid`` of a header, and require its other parameters. Cached: most tokens have the same header."""
    header = _strict_object(jwt.utils.base64url_decode(encoded_header))
    if header.keys() != _HEADER or header["alg"] != ALGORITHM or header["typ"] != token_type:
        raise _Rejected
    key_id: str = header["kid"]
    return key_id


def _strict_object(octets: bytes) -> dict[str, Any]:
    """Return the JSON object of one part of the token.

    A repeated name is rejected, because parsers differ in the value that they return for it (RFC 7515 section 4).
    """
    value = parse_strict_json(octets)
    if not isinstance(value, dict):
        raise _Rejected
    return value

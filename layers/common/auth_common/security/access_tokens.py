"""Access tokens: ES256 JWTs after RFC 9068 ("at+jwt"); the one module that uses ``jwt`` (PyJWT).

Verification follows RFC 8725 (JWT Best Current Practices) and is stricter than the library, which by itself accepts
any ``typ``, repeated claims (the last one wins), a string as ``exp`` and padded base64: each is refused here, before or
after the library has checked the signature.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import InvalidToken
from auth_common.security.kms_key import KMSKey
from auth_common.security.signing_keys import signing_key
from auth_common.security.verification_keys import verification_key
from auth_common.settings import settings

ALGORITHM: Final = "ES256"
TYPE: Final = "at+jwt"

#: Bytes. Ours have about 600; without a limit, parsing 8 MB costs half a second of CPU for one header.
LONGEST: Final = 8 * 1024

#: Three base64url parts without padding (RFC 7515 section 2), in ASCII. The last character of a signature carries two
#: bits, hence four letters: any other would be a second spelling of the same token (RFC 4648 section 3.5).
_COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]")
#: Exactly these header parameters: ``jku``, ``jwk``, ``x5u``, ``crit``, ``cty``, ``b64`` have no place in ours.
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_REQUIRED_CLAIMS: Final = ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time"]


class _ES256(jwt.algorithms.ECAlgorithm):
    """The library's ES256, which also takes a key that is in KMS."""

    def __init__(self) -> None:
        super().__init__(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1)

    def prepare_key(self, key: Any) -> Any:
        return key if isinstance(key, KMSKey) else super().prepare_key(key)


_signer: Final = jwt.PyJWS(algorithms=[])
_signer.register_algorithm(ALGORITHM, _ES256())


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What an access token says. Times are seconds since the epoch (RFC 7519 NumericDate)."""

    user_id: UUID
    role: str
    session_id: UUID
    token_version: int
    #: How the person logged in (RFC 8176), for example ``("pwd",)``.
    amr: tuple[str, ...]
    auth_time: int
    expires_at: int
    token_id: UUID


def issue_access_token(
    *,
    user_id: UUID,
    role: str,
    session_id: UUID,
    token_version: int,
    amr: tuple[str, ...],
    auth_time: int,
    now: int,
    profile: dict[str, str] | None = None,
) -> str:
    """Return a signed access token, valid from ``now`` (seconds since the epoch) for the lifetime that is set.

    Args:
        user_id: ``sub``.
        role: ``role``, for services that verify our tokens; ours read the role from the database.
        session_id: ``sid``: ending this session ends the token at our endpoints.
        token_version: ``tv``: raising the user's version ends all of their tokens.
        amr: authentication methods (RFC 8176).
        auth_time: when the person last proved who they are, seconds since the epoch.
        now: seconds since the epoch.
        profile: further claims (name, e-mail), if the settings ask for them.

    """
    key = signing_key()
    claims = {
        **(profile or {}),
        "iss": settings().token_issuer,
        "aud": settings().token_audience,
        "sub": str(user_id),
        "role": role,
        "iat": now,
        "nbf": now,
        "exp": now + settings().access_token_lifetime,
        "jti": str(uuid4()),
        "sid": str(session_id),
        "tv": token_version,
        "amr": list(amr),
        "auth_time": auth_time,
    }
    header = {"typ": TYPE, "kid": key.kid}
    return _signer.encode(json.dumps(claims).encode(), key.private_key, algorithm=ALGORITHM, headers=header)  # type: ignore[arg-type]


def verify_access_token(token: str) -> AccessClaims:
    """Return the claims of ``token``: signed by us, for us, in force now.

    Whether the session still exists is for the database to say; this asks no database.

    Raises:
        InvalidToken: for every fault alike; the cause is chained for the log and tells nothing to the client.

    """
    try:
        if len(token) > LONGEST or not _COMPACT_JWS.fullmatch(token):
            raise _Refused
        encoded_header, encoded_payload, _ = token.split(".")
        header = _strict_object(encoded_header)
        if header.keys() != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise _Refused
        key = verification_key(header["kid"])
        if key is None:
            raise _Refused
        jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=settings().token_issuer,
            audience=settings().token_audience,
            leeway=settings().clock_leeway,
            options={"require": _REQUIRED_CLAIMS, "strict_aud": True},
        )
        return _claims(_strict_object(encoded_payload))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidToken from error


class _Refused(ValueError):
    """The token breaks a rule of ours that comes before the signature."""


def _strict_object(encoded: str) -> dict[str, Any]:
    """Parse one part of the token; a repeated name is an attack on whoever reads the other value (RFC 8725 3.2)."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise _Refused
        return members

    value = json.loads(jwt.utils.base64url_decode(encoded).decode(), object_pairs_hook=unique)
    if not isinstance(value, dict):
        raise _Refused
    return value


def _claims(payload: dict[str, Any]) -> AccessClaims:
    """Check the type of each claim: the library takes ``"exp": "1767225600"``, and a verifier elsewhere may not."""
    amr = payload["amr"]
    numbers = [payload[name] for name in ("iat", "nbf", "exp", "auth_time", "tv")]
    texts = [payload["role"], *amr] if isinstance(amr, list) else [None]
    if any(type(number) is not int for number in numbers):
        raise _Refused
    if not all(isinstance(text, str) and text.isascii() for text in texts):
        raise _Refused
    return AccessClaims(
        user_id=UUID(payload["sub"]),
        role=payload["role"],
        session_id=UUID(payload["sid"]),
        token_version=payload["tv"],
        amr=tuple(amr),
        auth_time=payload["auth_time"],
        expires_at=payload["exp"],
        token_id=UUID(payload["jti"]),
    )

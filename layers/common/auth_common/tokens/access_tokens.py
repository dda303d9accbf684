"""Access tokens: JWTs with the type and claims of RFC 9068 ("at+jwt"), without its ``client_id``."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.errors import InvalidToken
from auth_common.settings import settings
from auth_common.tokens.signed_tokens import InvalidSignedToken, sign_token, verify_token

TYPE: Final = "at+jwt"
_REQUIRED_CLAIMS: Final = ["sub", "role", "jti", "sid", "tv", "amr", "auth_time"]


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
    claims = {
        **(profile or {}),
        "sub": str(user_id),
        "role": role,
        "jti": str(uuid4()),
        "sid": str(session_id),
        "tv": token_version,
        "amr": list(amr),
        "auth_time": auth_time,
    }
    return sign_token(
        claims,
        token_type=TYPE,
        audience=settings().token_audience,
        now=now,
        lifetime=settings().access_token_lifetime,
    )


def verify_access_token(token: str) -> AccessClaims:
    """Return the claims of ``token``: signed by us, for us, in force now.

    Whether the session still exists is for the database to say; this asks no database.

    Raises:
        InvalidToken: for every fault alike; the cause is chained for the log and tells nothing to the client.

    """
    try:
        return _claims(
            verify_token(token, token_type=TYPE, audience=settings().token_audience, required=_REQUIRED_CLAIMS)
        )
    except (InvalidSignedToken, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken from error


def _claims(payload: dict[str, Any]) -> AccessClaims:
    """Check the type of each claim: a verifier elsewhere may be less patient than Python."""
    amr = payload["amr"]
    texts = [payload["role"], *amr] if isinstance(amr, list) else [None]
    if any(type(payload[name]) is not int for name in ("auth_time", "tv")):
        raise TypeError
    if not all(isinstance(text, str) and text.isascii() for text in texts):
        raise TypeError
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

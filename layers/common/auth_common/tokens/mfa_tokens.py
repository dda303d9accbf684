"""MFA tokens: proof of the right password, accepted for the second step of a login only.

They differ from access tokens in ``typ`` and ``aud``, so neither is accepted as the other (RFC 8725 section 3.11).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.errors import InvalidMFAToken
from auth_common.tokens.signed_tokens import InvalidSignedToken, sign_token, verify_token

MFA_TOKEN_TYPE: Final = "mfa+jwt"
MFA_TOKEN_AUDIENCE: Final = "secure-backend-mfa"
#: Long enough to find and touch an authenticator.
MFA_TOKEN_LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class MFAClaims:
    """The user who has given the right password, and their token version at that time."""

    user_id: UUID
    token_version: int


def issue_mfa_token(*, user_id: UUID, token_version: int, now: datetime) -> str:
    """Return a signed MFA token, valid from ``now`` for ``MFA_TOKEN_LIFETIME``."""
    claims = {"sub": str(user_id), "tv": token_version, "jti": str(uuid4())}
    return sign_token(
        claims,
        token_type=MFA_TOKEN_TYPE,
        audience=MFA_TOKEN_AUDIENCE,
        now=int(now.timestamp()),
        lifetime=MFA_TOKEN_LIFETIME,
    )


def verify_mfa_token(token: str) -> MFAClaims:
    """Return the claims of ``token``, if it is an MFA token of this service that is valid now.

    Raises:
        InvalidMFAToken: the token is not valid.

    """
    try:
        claims = verify_token(
            token, token_type=MFA_TOKEN_TYPE, audience=MFA_TOKEN_AUDIENCE, required=["sub", "tv", "jti"]
        )
        return _claims(claims)
    except (InvalidSignedToken, ValueError, TypeError) as error:
        raise InvalidMFAToken from error


def _claims(payload: dict[str, Any]) -> MFAClaims:
    if type(payload["tv"]) is not int:
        raise TypeError
    return MFAClaims(UUID(payload["sub"]), payload["tv"])

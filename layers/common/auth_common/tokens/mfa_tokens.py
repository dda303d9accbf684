"""MFA tokens: proof that the first factor is done, good for nothing but the second step (the mfa_token of a login).

Another ``typ`` and ``aud`` than an access token has, so neither passes for the other (RFC 8725 section 3.11).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.errors import InvalidMFAToken
from auth_common.tokens.signed_tokens import InvalidSignedToken, sign_token, verify_token

TYPE: Final = "mfa+jwt"
AUDIENCE: Final = "secure-backend-mfa"
#: Seconds that a person has to find and touch their authenticator.
LIFETIME: Final = 5 * 60


@dataclass(frozen=True, slots=True)
class MFAClaims:
    """Who has given the right password, and their token version at that moment."""

    user_id: UUID
    token_version: int


def issue_mfa_token(*, user_id: UUID, token_version: int, now: datetime) -> str:
    """Return a signed MFA token, valid from ``now`` for ``LIFETIME``."""
    claims = {"sub": str(user_id), "tv": token_version, "jti": str(uuid4())}
    return sign_token(claims, token_type=TYPE, audience=AUDIENCE, now=int(now.timestamp()), lifetime=LIFETIME)


def verify_mfa_token(token: str) -> MFAClaims:
    """Return the claims of ``token``.

    Raises:
        InvalidMFAToken: not one of ours, expired, or another kind of token.

    """
    try:
        return _claims(verify_token(token, token_type=TYPE, audience=AUDIENCE, required=["sub", "tv", "jti"]))
    except (InvalidSignedToken, ValueError, TypeError) as error:
        raise InvalidMFAToken from error


def _claims(payload: dict[str, Any]) -> MFAClaims:
    if type(payload["tv"]) is not int:
        raise TypeError
    return MFAClaims(UUID(payload["sub"]), payload["tv"])

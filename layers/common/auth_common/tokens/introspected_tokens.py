"""Access tokens as an introspection reads them: of any audience, of users and of clients."""

from dataclasses import dataclass
from typing import Any, Final

from auth_common.errors import InvalidToken
from auth_common.tokens.access_tokens import ACCESS_TOKEN_TYPE, AccessClaims, read_access_claims
from auth_common.tokens.signed_tokens import InvalidSignedToken, verify_token

#: How the ``sub`` of a service token begins (``tokens.service_tokens``).
_CLIENT_SUBJECT: Final = "client:"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectedToken:
    """An access token that this service has signed and that has not expired. The database says whether it is valid."""

    claims: dict[str, Any]
    audiences: tuple[str, ...]
    subject: str
    issued_at: int
    #: The user and session of a user's token. None for a service token.
    user: AccessClaims | None
    #: The client of a service token. None for a user's token.
    client_name: str | None


def read_introspected_token(token: str) -> IntrospectedToken:
    """Return ``token``, if this service has issued it as an access token, for any audience, and it has not expired.

    Raises:
        InvalidToken: it is not.

    """
    try:
        claims = verify_token(token, token_type=ACCESS_TOKEN_TYPE, audience=None, required=["sub", "jti"])
        subject, audience = claims["sub"], claims["aud"]
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
            raise InvalidToken
        client_name = subject.removeprefix(_CLIENT_SUBJECT) if subject.startswith(_CLIENT_SUBJECT) else None
        return IntrospectedToken(
            claims=claims,
            audiences=tuple(audiences),
            subject=subject,
            issued_at=claims["iat"],
            user=None if client_name is not None else read_access_claims(claims),
            client_name=client_name,
        )
    except (InvalidSignedToken, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken from error

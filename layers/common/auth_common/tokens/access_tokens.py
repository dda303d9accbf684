"""Access tokens: JWTs with the type and the claims of RFC 9068.

A token is for this service, or for the one other service that a client names (``resource``, RFC 8707). This service
rejects a token for another service. Otherwise that service could use it here, in the name of the user.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.errors import InvalidTarget, InvalidToken
from auth_common.settings import settings
from auth_common.tokens.signed_tokens import InvalidSignedToken, sign_token, verify_token

ACCESS_TOKEN_TYPE: Final = "at+jwt"
_REQUIRED_CLAIMS: Final = ["sub", "role", "jti", "sid", "tv", "amr", "auth_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """The claims of an access token. Times are seconds since the epoch (RFC 7519 NumericDate)."""

    user_id: UUID
    role: str
    session_id: UUID
    token_version: int
    #: The methods of the login (RFC 8176), for example ``("pwd",)``.
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
    resource: str | None = None,
    profile: dict[str, str | bool] | None = None,
) -> str:
    """Return a signed access token, valid from ``now`` for the lifetime in the settings.

    Args:
        user_id: ``sub``.
        role: ``role``, for other services that verify the token. This service reads the role from the database.
        session_id: ``sid``. This service rejects the token once the session is revoked.
        token_version: ``tv``. This service rejects the token once the user's token version is higher.
        amr: ``amr``, the methods of the login (RFC 8176).
        auth_time: ``auth_time``, the time of the login in seconds since the epoch.
        now: the time in seconds since the epoch.
        resource: the other service for which the token is, from ``require_resource``. None for this service.
        profile: further claims, such as name and e-mail address.

    """
    claims = {
        **(profile or {}),
        "sub": str(user_id),
        "client_id": settings().token_client_id,
        "scope": settings().token_scope,
        "role": role,
        "jti": str(uuid4()),
        "sid": str(session_id),
        "tv": token_version,
        "amr": list(amr),
        "auth_time": auth_time,
    }
    return sign_token(
        claims,
        token_type=ACCESS_TOKEN_TYPE,
        audience=resource or _own_audience(),
        now=now,
        lifetime=timedelta(seconds=settings().access_token_lifetime),
    )


def require_resource(resource: str | None) -> None:
    """Require that clients may have tokens for ``resource``. None, which is this service, is always accepted.

    Raises:
        InvalidTarget: ``resource`` is not in ``TOKEN_RESOURCES``, compared byte for byte.

    """
    if resource is not None and resource not in settings().token_resources:
        raise InvalidTarget


def _own_audience() -> str | list[str]:
    """Return ``aud`` of tokens for this service."""
    own, others = settings().token_audience, settings().token_resources
    return [own, *others] if settings().token_several_audiences else own


def verify_access_token(token: str) -> AccessClaims:
    """Return the claims of ``token``, if it is an access token of this service that is valid now.

    The database is not read: ``sessions.caller_checks`` requires a valid session.

    Raises:
        InvalidToken: the token is not valid. The cause is chained for the log, and the client does not learn it.

    """
    try:
        return read_access_claims(
            verify_token(
                token,
                token_type=ACCESS_TOKEN_TYPE,
                audience=settings().token_audience,
                required=_REQUIRED_CLAIMS,
                allow_further_audiences=settings().token_several_audiences,
            )
        )
    except (InvalidSignedToken, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken from error


def read_access_claims(payload: dict[str, Any]) -> AccessClaims:
    """Return the claims of a verified token, each of which must have its exact type.

    Raises:
        KeyError: a claim is missing.
        TypeError: a claim has another type. Python would accept ``True`` as a number, and another verifier may not.
        ValueError: an id is not a UUID.

    """
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

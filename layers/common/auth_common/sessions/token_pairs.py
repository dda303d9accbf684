"""The token pair that a login and each refresh return."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from auth_common.events.logger import logger
from auth_common.sessions.store import Session
from auth_common.settings import settings
from auth_common.tokens.access_tokens import issue_access_token
from auth_common.users.store import User


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """An access token and a refresh token, with their lifetimes in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    #: Set by a login, and None in the response to a refresh.
    step_up_token: str | None = None


def issue_token_pair(
    user: User,
    session: Session,
    *,
    refresh_token: str,
    refresh_expires_at: datetime,
    now: datetime,
    resource: str | None,
    step_up_token: str | None = None,
) -> TokenPair:
    """Sign an access token for ``session``, and return it together with the session's other tokens.

    The access token is for the other service ``resource``, or for this service if it is None.
    """
    if settings().token_several_audiences:
        _warn_of_several_audiences()
    access_token = issue_access_token(
        user_id=user.id,
        role=user.role,
        session_id=session.id,
        token_version=user.token_version,
        amr=tuple(session.amr.split()),
        auth_time=int(session.auth_time.timestamp()),
        now=int(now.timestamp()),
        resource=resource,
        profile=_profile(user) if settings().token_profile_claims else None,
    )
    return TokenPair(
        access_token=access_token,
        expires_in=settings().access_token_lifetime,
        refresh_token=refresh_token,
        refresh_expires_in=int((refresh_expires_at - now).total_seconds()),
        step_up_token=step_up_token,
    )


@cache
def _warn_of_several_audiences() -> None:
    """Write a warning at the first token of this environment."""
    logger.warning("TOKEN_SEVERAL_AUDIENCES: each service in TOKEN_RESOURCES can use the tokens of its callers here")


def _profile(user: User) -> dict[str, str | bool]:
    """Return the claims with personal data (OpenID Connect Core section 5.1).

    An address that is not verified is left out. Another service would take it for the user's, although an attacker may
    have registered it.
    """
    if not user.email_verified:
        return {"name": user.name, "email_verified": False}
    return {"name": user.name, "email": user.email, "email_verified": True}

"""The token pair that a login and each refresh return."""

from dataclasses import dataclass
from datetime import datetime

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
    step_up_token: str | None = None,
) -> TokenPair:
    """Sign an access token for ``session``, and return it together with the session's other tokens."""
    access_token = issue_access_token(
        user_id=user.id,
        role=user.role,
        session_id=session.id,
        token_version=user.token_version,
        amr=tuple(session.amr.split()),
        auth_time=int(session.auth_time.timestamp()),
        now=int(now.timestamp()),
        profile={"name": user.name, "email": user.email} if settings().token_profile_claims else None,
    )
    return TokenPair(
        access_token=access_token,
        expires_in=settings().access_token_lifetime,
        refresh_token=refresh_token,
        refresh_expires_in=int((refresh_expires_at - now).total_seconds()),
        step_up_token=step_up_token,
    )

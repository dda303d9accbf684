"""The token pair: what a login and each refresh answer."""

from dataclasses import dataclass
from datetime import datetime

from auth_common.sessions.store import Session
from auth_common.settings import settings
from auth_common.tokens.access_tokens import issue_access_token
from auth_common.users.store import User


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a client gets. Lifetimes in seconds from now."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    #: After a login only.
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
    """Sign an access token for ``session`` and return it with its other tokens."""
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

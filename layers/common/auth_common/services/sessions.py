"""Sessions: what a login opens, and what every later request is measured against."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from auth_common.db.engine import transaction
from auth_common.db.sessions import RefreshToken, Session, Standing, insert_session
from auth_common.db.users import User
from auth_common.errors import InvalidToken
from auth_common.monitoring import request_context
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.access_tokens import issue_access_token
from auth_common.security.refresh_tokens import hash_refresh_token, new_refresh_token
from auth_common.services.principal import Principal
from auth_common.settings import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a client gets. Lifetimes in seconds from now."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


def open_session(user: User, *, amr: tuple[str, ...]) -> TokenPair:
    """Open a session for ``user``, who has just proved who they are by ``amr`` (RFC 8176), and return its tokens."""
    now = datetime.now(UTC).replace(microsecond=0)
    request = request_context.get()
    session = Session(
        id=uuid4(),
        user_id=user.id,
        amr=" ".join(amr),
        auth_time=now,
        source_ip=request.source_ip,
        user_agent=request.user_agent,
        last_used_at=now,
        expires_at=now + timedelta(seconds=settings().refresh_absolute_lifetime),
    )
    refresh_token = new_refresh_token()
    lifetime = min(settings().refresh_idle_lifetime, settings().refresh_absolute_lifetime)
    record = RefreshToken(
        token_hash=hash_refresh_token(refresh_token),
        session_id=session.id,
        generation=0,
        issued_at=now,
        expires_at=now + timedelta(seconds=lifetime),
    )
    # Signed before it is stored: if the key is away, no session without tokens remains.
    access_token = issue_access_token(
        user_id=user.id,
        role=user.role,
        session_id=session.id,
        token_version=user.token_version,
        amr=amr,
        auth_time=int(now.timestamp()),
        now=int(now.timestamp()),
        profile={"name": user.name, "email": user.email} if settings().token_profile_claims else None,
    )
    transaction(lambda connection: insert_session(connection, session, record))
    security_event(SecurityEvent.AUTHN_TOKEN_CREATED, user_id=user.id, session_id=str(session.id))
    return TokenPair(
        access_token=access_token,
        expires_in=settings().access_token_lifetime,
        refresh_token=refresh_token,
        refresh_expires_in=lifetime,
    )


def require_standing(principal: Principal, standing: Standing | None) -> Standing:
    """Return ``standing`` if the caller's session still counts.

    This is what makes logout, a disabled account and a raised token version work at the next request, although the
    token is still within its lifetime and the gateway has the authorizer's answer in its cache.

    Raises:
        InvalidToken: for each reason alike.

    """
    reason = _why_ended(principal, standing)
    if standing is None or reason is not None:
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, user_id=principal.user_id, reason=reason)
        raise InvalidToken
    return standing


def _why_ended(principal: Principal, standing: Standing | None) -> str | None:
    if standing is None:
        return "session_unknown"
    if standing.session_revoked_at is not None:
        return "session_revoked"
    if standing.session_expires_at <= datetime.now(UTC):
        return "session_expired"
    if standing.status != "active":
        return "user_not_active"
    if standing.token_version != principal.token_version:
        return "token_version_changed"
    return None

"""A caller's standing: whether the session behind an access token still counts."""

from datetime import UTC, datetime

from auth_common.db.sessions import Standing
from auth_common.errors import InvalidToken
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.services.principal import Principal
from auth_common.settings import settings


def require_standing(principal: Principal, standing: Standing | None) -> Standing:
    """Return ``standing`` if the caller's session still counts.

    This is what makes logout, a disabled account and a raised token version work at the next request, although the
    token is still within its lifetime and the gateway has the authorizer's answer in its cache; and what keeps that
    cache from stretching the token's lifetime.

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
    now = datetime.now(UTC)
    reasons = {
        "token_expired": principal.expires_at + settings().clock_leeway <= now.timestamp(),
        "session_revoked": standing.session_revoked_at is not None,
        "session_expired": standing.session_expires_at <= now,
        "user_not_active": standing.status != "active",
        "token_version_changed": standing.token_version != principal.token_version,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)

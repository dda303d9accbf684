"""A caller's standing: whether the session behind an access token still counts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from auth_common.db.sessions import Standing, select_standing
from auth_common.errors import Forbidden, InvalidToken, StepUpRequired
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.services.principal import Principal
from auth_common.settings import settings


def check_standing(connection: Connection, principal: Principal) -> Standing:
    """Return the caller's standing if their session still counts.

    Raises:
        InvalidToken: it does not.

    """
    standing = select_standing(connection, session_id=principal.session_id, user_id=principal.user_id)
    return require_standing(principal, standing)


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


def require_step_up(principal: Principal, standing: Standing, *, has_passkey: bool) -> None:
    """Let pass who has logged in freshly, and with a passkey if they have one (RFC 9470, ASVS 5.0 7.5.1).

    A stolen access token is thus not enough to take an account over for good.

    Raises:
        StepUpRequired: the person must log in again.

    """
    require_fresh_login(principal, standing)
    if has_passkey:
        require_mfa(principal, standing)


def require_fresh_login(principal: Principal, standing: Standing) -> None:
    """Let pass who has logged in within the last minutes, by whatever means (ASVS 5.0 7.5.2).

    Raises:
        StepUpRequired: the person must log in again.

    """
    age = datetime.now(UTC) - standing.auth_time
    # One from the future, by the clock of an environment that is wrong, would stay fresh for as long as it is ahead.
    if not -timedelta(seconds=settings().clock_leeway) <= age <= timedelta(seconds=StepUpRequired.max_age):
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="login_too_old")
        raise StepUpRequired


def require_self(principal: Principal, target_id: UUID | None) -> None:
    """Let pass who asks for themselves (OWASP API1:2023, BOLA).

    Raises:
        Forbidden: somebody else's id, or one that does not exist: a caller cannot find out which.

    """
    if target_id != principal.user_id:
        target = str(target_id) if target_id else "not an id"
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="not_self", target=target)
        raise Forbidden


def require_mfa(principal: Principal, standing: Standing) -> None:
    """Let pass who has logged in with a passkey.

    Raises:
        StepUpRequired: the person must log in again, with one.

    """
    if "mfa" not in standing.amr.split():
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="login_without_passkey")
        raise StepUpRequired


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

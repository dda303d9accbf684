"""Checks of a caller: a live session, a valid step-up token, a session with MFA, and their own account."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.errors import Forbidden, InvalidToken, PasskeyLoginRequired, StepUpRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.principal import Principal
from auth_common.sessions.step_up_tokens import LIFETIME, is_step_up_token
from auth_common.sessions.store import Standing, select_standing
from auth_common.sessions.validity import session_rejection_reason
from auth_common.settings import settings
from auth_common.users.store import has_passkey

_EXPIRED: Final = datetime.min.replace(tzinfo=UTC)


def check_standing(connection: Connection, principal: Principal) -> Standing:
    """Return the caller's standing if their session still counts.

    Raises:
        InvalidToken: it does not.

    """
    standing = select_standing(connection, session_id=principal.session_id, user_id=principal.user_id)
    return require_standing(principal, standing)


def require_standing(principal: Principal, standing: Standing | None) -> Standing:
    """Return ``standing`` if the caller's session still counts.

    A logout, a disabled account and a raised token version take effect with the next request, although the access token
    has not expired and the gateway has the authorizer's policy in its cache. The check of ``exp`` keeps that cache from
    stretching the token's lifetime.

    Raises:
        InvalidToken: for each reason alike.

    """
    reason = _rejection_reason(principal, standing)
    if standing is None or reason is not None:
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, user_id=principal.user_id, reason=reason)
        raise InvalidToken
    return standing


def require_step_up(
    principal: Principal, standing: Standing, token: str | None, *, account_has_passkey: bool, by_password: bool = False
) -> None:
    """Require the session's step-up token (ASVS 5.0 7.5.1, 7.5.2), so that a stolen access token is not enough.

    If the account has a passkey, the token must have been proved with one.

    Args:
        principal: the caller.
        standing: from ``check_standing``.
        token: the header ``Step-Up-Token``, as the client sent it.
        account_has_passkey: whether the account has one now.
        by_password: whether a proof by password is enough for an account with passkeys too.

    Raises:
        StepUpRequired: there is no such token, it has expired, or its proof is not enough.

    """
    reason = _why_no_step_up(standing, token, needs_passkey=account_has_passkey and not by_password)
    if reason is None:
        return
    security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason=reason)
    if not account_has_passkey:
        raise StepUpRequired("password")
    raise StepUpRequired("webauthn", "password") if by_password else StepUpRequired("webauthn")


def require_self(principal: Principal, target_id: UUID | None) -> None:
    """Require that the caller asks for their own account (OWASP API1:2023, BOLA).

    Raises:
        Forbidden: the id of another user, or one that does not exist. A caller cannot find out which.

    """
    if target_id != principal.user_id:
        target = str(target_id) if target_id else "not an id"
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="not_self", target=target)
        raise Forbidden


def require_mfa(connection: Connection, principal: Principal, standing: Standing) -> None:
    """Require a session that a passkey has opened, of an account that still has a passkey.

    Raises:
        PasskeyLoginRequired: the user must log in with a passkey.

    """
    if "mfa" not in standing.amr.split():
        reason = "login_without_passkey"
    elif not has_passkey(connection, user_id=principal.user_id):
        reason = "account_without_passkey"
    else:
        return
    security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason=reason)
    raise PasskeyLoginRequired


def _why_no_step_up(standing: Standing, token: str | None, *, needs_passkey: bool) -> str | None:
    if not token or not standing.step_up_hash or not is_step_up_token(token, stored_hash=standing.step_up_hash):
        return "no_step_up"
    remaining = (standing.step_up_expires_at or _EXPIRED) - datetime.now(UTC)
    # A token from an environment whose clock is ahead must not live longer by as much.
    if not timedelta(0) < remaining <= LIFETIME + timedelta(seconds=settings().clock_leeway):
        return "step_up_expired"
    if needs_passkey and "mfa" not in (standing.step_up_amr or "").split():
        return "step_up_without_passkey"
    return None


def _rejection_reason(principal: Principal, standing: Standing | None) -> str | None:
    if standing is None:
        return "session_unknown"
    now = datetime.now(UTC)
    return session_rejection_reason(
        now=now,
        revoked_at=standing.session_revoked_at,
        expires_at=standing.session_expires_at,
        token_expired=principal.expires_at + settings().clock_leeway <= now.timestamp(),
        user_status=standing.status,
        token_version=principal.token_version,
        current_token_version=standing.token_version,
    )

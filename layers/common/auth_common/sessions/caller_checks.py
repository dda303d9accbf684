"""Checks of a caller: a valid session, a valid step-up token, a session with MFA, and the caller's own account."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.errors import Forbidden, InvalidToken, PasskeyLoginRequired, StepUpRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.principal import Principal
from auth_common.sessions.step_up_tokens import STEP_UP_TOKEN_LIFETIME, is_step_up_token
from auth_common.sessions.store import CallerState, lock_session, select_caller_state
from auth_common.sessions.validity import session_rejection_reason
from auth_common.settings import settings
from auth_common.users.store import has_passkey

_EXPIRED: Final = datetime.min.replace(tzinfo=UTC)


def require_valid_session(connection: Connection, principal: Principal) -> CallerState:
    """Read the caller's session and account, and return them if the session is valid.

    Raises:
        InvalidToken: the session is not valid.

    """
    state = select_caller_state(connection, session_id=principal.session_id, user_id=principal.user_id)
    return require_valid_caller_state(principal, state)


def lock_valid_session(connection: Connection, principal: Principal) -> bool:
    """Lock a session, and return whether it is valid. The request does not need it: record no event if it is not."""
    lock_session(connection, session_id=principal.session_id)
    state = select_caller_state(connection, session_id=principal.session_id, user_id=principal.user_id)
    return rejection_reason(principal, state) is None


def require_valid_caller_state(principal: Principal, state: CallerState | None) -> CallerState:
    """Return ``state`` if the caller's session is valid.

    A logout, a disabled account and a raised token version take effect with the next request. The gateway may still
    have the authorizer's policy in its cache. So the expiry of the access token is checked again here.

    Args:
        principal: the caller.
        state: the caller's session and account. None if the session does not exist.

    Raises:
        InvalidToken: the session is not valid. The error does not say why.

    """
    reason = rejection_reason(principal, state)
    if state is None or reason is not None:
        raise rejected_caller(principal, reason=reason or "session_unknown")
    return state


def rejected_caller(principal: Principal, *, reason: str = "session_unknown") -> InvalidToken:
    """Record that a caller's access token is rejected, by default because the account was erased. Return the error."""
    security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, user_id=principal.user_id, reason=reason)
    return InvalidToken()


def require_step_up(
    principal: Principal, state: CallerState, token: str | None, *, account_has_passkey: bool, by_password: bool = False
) -> None:
    """Require the session's step-up token (ASVS 5.0 7.5.1, 7.5.2), so that a stolen access token is not enough.

    If the account has a passkey, the token must have been proved with a passkey.

    Args:
        principal: the caller.
        state: from ``require_valid_session``.
        token: the header ``Step-Up-Token``, as the client sent it.
        account_has_passkey: whether the account has a passkey now.
        by_password: whether a proof by password is enough for an account with passkeys too.

    Raises:
        StepUpRequired: the token is missing, wrong or expired, or its proof is not enough.

    """
    reason = _step_up_rejection_reason(state, token, needs_passkey=account_has_passkey and not by_password)
    if reason is None:
        return
    security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason=reason)
    if not account_has_passkey:
        raise StepUpRequired("password")
    raise StepUpRequired("webauthn", "password") if by_password else StepUpRequired("webauthn")


def require_self(principal: Principal, target_id: UUID | None) -> None:
    """Require that the request is for the caller's own account (OWASP API1:2023, BOLA).

    Args:
        principal: the caller.
        target_id: the user id of the request. None if it is not a UUID.

    Raises:
        Forbidden: the id is not the caller's. The error does not say whether the id exists.

    """
    if target_id != principal.user_id:
        target = str(target_id) if target_id else "not an id"
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="not_self", target=target)
        raise Forbidden


def require_mfa(connection: Connection, principal: Principal, state: CallerState) -> None:
    """Require a session that was opened with a passkey, of an account that still has a passkey.

    Raises:
        PasskeyLoginRequired: the user must log in with a passkey.

    """
    if "mfa" not in state.amr.split():
        reason = "login_without_passkey"
    elif not has_passkey(connection, user_id=principal.user_id):
        reason = "account_without_passkey"
    else:
        return
    security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason=reason)
    raise PasskeyLoginRequired


def _step_up_rejection_reason(state: CallerState, token: str | None, *, needs_passkey: bool) -> str | None:
    if not token or not state.step_up_hash or not is_step_up_token(token, stored_hash=state.step_up_hash):
        return "no_step_up"
    remaining = (state.step_up_expires_at or _EXPIRED) - datetime.now(UTC)
    # A token from an environment whose clock is ahead would live longer by that difference.
    if not timedelta(0) < remaining <= STEP_UP_TOKEN_LIFETIME + timedelta(seconds=settings().clock_leeway):
        return "step_up_expired"
    if needs_passkey and "mfa" not in (state.step_up_amr or "").split():
        return "step_up_without_passkey"
    return None


def rejection_reason(principal: Principal, state: CallerState | None) -> str | None:
    """Return why a caller's session is not valid, as security events name the reason. Return None if it is valid."""
    if state is None:
        return "session_unknown"
    now = datetime.now(UTC)
    return session_rejection_reason(
        now=now,
        revoked_at=state.session_revoked_at,
        expires_at=state.session_expires_at,
        token_expired=principal.expires_at + settings().clock_leeway <= now.timestamp(),
        user_status=state.status,
        token_version=principal.token_version,
        current_token_version=state.token_version,
    )

"""Whether a session is still valid: the one decision behind access tokens and refresh tokens."""

from datetime import datetime


def session_rejection_reason(
    *,
    now: datetime,
    revoked_at: datetime | None,
    expires_at: datetime,
    token_expired: bool,
    user_status: str,
    token_version: int,
    current_token_version: int,
) -> str | None:
    """Return why a token of a session is rejected, as security events name the reason. Return None if it is accepted.

    Args:
        now: the time of the request.
        revoked_at: when the session was revoked.
        expires_at: when the session expires.
        token_expired: whether the access token or refresh token of the request has expired.
        user_status: the account's ``status``.
        token_version: the account's version when the token, or for a refresh token the session, was issued.
        current_token_version: the account's version now. Each change that revokes all sessions raises it.

    """
    reasons = {
        "session_revoked": revoked_at is not None,
        # Before the token: a refresh token expires with its session at the latest.
        "session_expired": expires_at <= now,
        "token_expired": token_expired,
        "user_not_active": user_status != "active",
        "token_version_changed": token_version != current_token_version,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)

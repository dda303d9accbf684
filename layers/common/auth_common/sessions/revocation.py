"""Revocation: end the session of a refresh token (RFC 7009).

The token is the proof, so the client needs no authentication: a client that holds it could exchange it as well. An
attacker who revokes a stolen token only logs its user out.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection

from auth_common.errors import UnsupportedTokenType
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.refresh import Rejected, count_rejection, find_family, is_reuse, revoke_reused_family
from auth_common.sessions.store import revoke_sessions
from auth_common.tokens.signed_tokens import claimed_type
from auth_common.transactions import transaction


def revoke_token(token: str) -> None:
    """Revoke the session of a refresh token, with all its tokens. Do nothing if the token is not valid any more.

    A spent token is handled as at a refresh: outside the grace period it has two holders, and is recorded as a reuse.

    Raises:
        UnsupportedTokenType: the token is an access token or another signed token.
        TooManyAttempts: the token is not valid, and its client IP is locked. Valid tokens are accepted in a lockout.

    """
    if claimed_type(token) is not None:
        raise UnsupportedTokenType
    now = datetime.now(UTC)

    def revoke(connection: Connection) -> Rejected | None:
        """Decide in one transaction, which commits the outcome together with its audit record."""
        family = find_family(connection, token, now=now)
        if isinstance(family, Rejected):
            return family
        record, session, user = family
        if is_reuse(record, session, now=now):
            return revoke_reused_family(connection, session, user, now=now)
        if not revoke_sessions(connection, user_id=user.id, now=now, limit=1, only=session.id):
            return Rejected("session_revoked", user, session)
        security_event(SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=user.id, reason="by_refresh_token", sessions_ended=1)
        return None

    rejected = transaction(revoke)
    if rejected is not None:
        count_rejection(rejected)

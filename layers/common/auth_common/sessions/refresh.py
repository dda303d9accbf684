"""Refresh: a refresh token against a new pair, once (RFC 9700 section 4.14.2: rotation and reuse detection).

A family is the line of tokens that descend from one login. At any moment one of them, the newest generation, is live:

- The live token is exchanged for its successor and is spent from then on.
- A spent token that comes back means that two hold it, and nobody can tell which of them is the thief: the family ends.
- But the *immediate parent* of the live token may come back within the grace period: its holder lost the answer, or
  several tabs refreshed at once. They all get the same successor, so no second branch ever exists.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import InvalidRefreshToken
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions import refresh_token_store as store
from auth_common.sessions.refresh_token_store import RefreshToken
from auth_common.sessions.refresh_tokens import (
    LONGEST,
    hash_refresh_token,
    new_refresh_token,
    open_successor,
    seal_successor,
)
from auth_common.sessions.service import record_tokens_created, refresh_expiry
from auth_common.sessions.store import Session, advance_session, revoke_sessions
from auth_common.sessions.token_pairs import TokenPair, issue_token_pair
from auth_common.sessions.validity import session_rejection_reason
from auth_common.settings import settings
from auth_common.throttling.service import count_rejected_refresh_token
from auth_common.transactions import transaction
from auth_common.users.store import User

#: How long the parent of the live token is forgiven.
GRACE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Renewal:
    """A family at its new generation."""

    user: User
    session: Session
    pair: TokenPair


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why there is none, for the security event."""

    reason: str
    user: User | None = None
    session: Session | None = None
    theft: bool = False


def refresh(token: str) -> TokenPair:
    """Exchange ``token`` for a new pair.

    Raises:
        InvalidRefreshToken: unknown, expired or spent; its session or its user is not active. Where a spent token came
            back, the family has been revoked, and that stays so although this raises.
        TooManyAttempts: the same, after too many of them from one source. A valid token is exchanged all the same.

    """
    now = datetime.now(UTC)

    def exchange(connection: Connection) -> _Renewal | _Refusal:
        """Decide, and record what changes something, in one transaction that commits whatever it is."""
        outcome = _exchange(connection, token, now) if len(token) <= LONGEST else _Refusal("unknown_token")
        if isinstance(outcome, _Renewal):
            record_tokens_created(outcome.user, outcome.session)
        elif outcome.theft:
            _record_refusal(outcome)
        return outcome

    outcome = transaction(exchange)
    if isinstance(outcome, _Refusal):
        # Also a theft: its replays must not fill the audit log either.
        count_rejected_refresh_token()
        if not outcome.theft:
            _record_refusal(outcome)
        raise InvalidRefreshToken
    return outcome.pair


def _exchange(connection: Connection, token: str, now: datetime) -> _Renewal | _Refusal:
    family = store.select_family(connection, token_hash=hash_refresh_token(token))
    if family is None:
        return _Refusal("unknown_token")
    record, session, user = family
    reason = session_rejection_reason(
        now=now,
        revoked_at=session.revoked_at,
        expires_at=session.expires_at,
        token_expired=record.expires_at <= now,
        user_status=user.status,
        token_version=session.token_version,
        current_token_version=user.token_version,
    )
    if reason is not None:
        return _Refusal(reason, user, session)
    if record.spent_at is None:
        return _rotate(connection, token, record, session, user, now=now)
    return _forgive_or_revoke(connection, token, record, session, user, now=now)


def _rotate(
    connection: Connection, token: str, record: RefreshToken, session: Session, user: User, *, now: datetime
) -> _Renewal | _Refusal:
    """Spend the live token for a child."""
    successor = new_refresh_token()
    child = RefreshToken(
        token_hash=hash_refresh_token(successor),
        session_id=session.id,
        generation=record.generation + 1,
        issued_at=now,
        expires_at=refresh_expiry(session, now),
    )
    # Signed before anything is spent: if the key is away, the client still has a token that works when it is back.
    pair = issue_token_pair(user, session, refresh_token=successor, refresh_expires_at=child.expires_at, now=now)
    sealed = seal_successor(successor, under=token)
    if not store.spend_refresh_token(connection, token_hash=record.token_hash, now=now, sealed_successor=sealed):
        # Somebody else spent it between our two statements: look again.
        return _exchange(connection, token, now)
    if not advance_session(connection, session_id=session.id, generation=child.generation, now=now):
        return _Refusal("session_revoked", user, session)
    store.insert_refresh_token(connection, child)
    return _Renewal(user, session, pair)


def _forgive_or_revoke(
    connection: Connection, token: str, record: RefreshToken, session: Session, user: User, *, now: datetime
) -> _Renewal | _Refusal:
    """Answer a spent token: its successor again, or the end of the family."""
    # A counter and not a clock says who is whose parent: clocks of two environments cannot order two rotations.
    is_parent_of_live = record.generation + 1 == session.generation
    if is_parent_of_live and record.spent_at and record.successor and _within_grace(record.spent_at, now):
        successor = open_successor(record.successor, under=token)
        expires_at = refresh_expiry(session, record.spent_at)
        pair = issue_token_pair(user, session, refresh_token=successor, refresh_expires_at=expires_at, now=now)
        return _Renewal(user, session, pair)
    revoke_sessions(connection, user_id=user.id, now=now, limit=1, only=session.id)
    return _Refusal("spent_token_reused", user, session, theft=True)


def _within_grace(spent_at: datetime, now: datetime) -> bool:
    """Tell whether a token was spent a moment ago, by a clock that may be a little ahead of ours, but not more."""
    return -timedelta(seconds=settings().clock_leeway) <= now - spent_at <= GRACE


def _record_refusal(refusal: _Refusal) -> None:
    security_event(
        SecurityEvent.AUTHN_TOKEN_REUSE if refusal.theft else SecurityEvent.AUTHN_TOKEN_REJECTED,
        user_id=refusal.user.id if refusal.user else None,
        reason=refusal.reason,
        session_id=str(refusal.session.id) if refusal.session else None,
    )

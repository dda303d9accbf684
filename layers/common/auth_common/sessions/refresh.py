"""Refresh: exchange a refresh token for a new token pair, once (RFC 9700 section 4.14.2).

All refresh tokens of a session form a family. Its newest generation is the live token:

- The live token is exchanged for its successor, and is then spent.
- A spent token that is presented again has two holders. Which of them is the attacker is unknown, so the session is
  revoked.
- Within the grace period, the immediate parent of the live token is accepted again: the response was lost, or several
  tabs refreshed at once. Each of them gets the same successor, so the family never has two branches.
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
    MAX_REFRESH_TOKEN_LENGTH,
    hash_refresh_token,
    new_refresh_token,
    open_successor,
    seal_successor,
)
from auth_common.sessions.service import record_tokens_created, refresh_expiry
from auth_common.sessions.store import Session, advance_session, revoke_live_session
from auth_common.sessions.token_pairs import TokenPair, issue_token_pair
from auth_common.sessions.validity import session_rejection_reason
from auth_common.settings import settings
from auth_common.throttling.service import count_rejected_refresh_token
from auth_common.tokens.access_tokens import require_resource
from auth_common.transactions import transaction
from auth_common.users.store import User

#: How long the parent of the live token is accepted after its first use.
GRACE_PERIOD: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A refresh token that was accepted, and its new token pair."""

    user: User
    session: Session
    pair: TokenPair


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refresh token that was rejected, and what the security event says about it."""

    reason: str
    user: User | None = None
    session: Session | None = None
    #: Whether it was a spent token, for which the session has been revoked.
    is_reuse: bool = False


def refresh(token: str, *, resource: str | None) -> TokenPair:
    """Exchange ``token`` for a new token pair.

    Args:
        token: the refresh token, which may be any text.
        resource: the other service for which the new access token is, at this refresh only. None for this service.

    Raises:
        InvalidTarget: there are no tokens for ``resource``. The refresh token is not spent.
        InvalidRefreshToken: the token is unknown, expired or spent, or its session or user is not active. For a spent
            token the session has been revoked in a transaction that is committed.
        TooManyAttempts: the token is not valid, and its client IP is locked. Valid tokens are accepted in a lockout.

    """
    require_resource(resource)
    now = datetime.now(UTC)

    def exchange(connection: Connection) -> _Accepted | Rejected:
        """Decide in one transaction, which commits the outcome together with its audit record."""
        outcome = _exchange(connection, token, now, resource)
        if isinstance(outcome, _Accepted):
            record_tokens_created(outcome.user, outcome.session, resource=resource)
        return outcome

    outcome = transaction(exchange)
    if isinstance(outcome, Rejected):
        count_rejection(outcome)
        raise InvalidRefreshToken
    return outcome.pair


def find_family(connection: Connection, token: str, *, now: datetime) -> tuple[RefreshToken, Session, User] | Rejected:
    """Return the row of a refresh token with its session and user, if all of them are valid. It may be spent."""
    if len(token) > MAX_REFRESH_TOKEN_LENGTH:
        return Rejected("unknown_token")
    family = store.select_family(connection, token_hash=hash_refresh_token(token))
    if family is None:
        return Rejected("unknown_token")
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
    return family if reason is None else Rejected(reason, user, session)


def is_reuse(record: RefreshToken, session: Session, *, now: datetime) -> bool:
    """Return whether a token is spent, and is not the parent of the live token within the grace period."""
    if record.spent_at is None:
        return False
    # The generation says which token is the parent. The clocks of two environments cannot order two rotations.
    is_parent_of_live = record.generation + 1 == session.generation
    return not (is_parent_of_live and record.successor and _is_in_grace_period(record.spent_at, now))


def revoke_reused_family(connection: Connection, session: Session, user: User, *, now: datetime) -> Rejected:
    """Revoke the session of a spent token that was presented again, and record it."""
    revoke_live_session(connection, session_id=session.id, now=now)
    rejected = Rejected("spent_token_reused", user, session, is_reuse=True)
    _record_rejection(rejected)
    return rejected


def count_rejection(rejected: Rejected) -> None:
    """Count a rejected token, and record it. A reuse was recorded when its session was revoked.

    Raises:
        TooManyAttempts: the client IP is locked.

    """
    # A reuse is counted too: repeated requests must not fill the audit log.
    count_rejected_refresh_token()
    if not rejected.is_reuse:
        _record_rejection(rejected)


def _record_rejection(rejected: Rejected) -> None:
    """Record the security event of a rejected token."""
    security_event(
        SecurityEvent.AUTHN_TOKEN_REUSE if rejected.is_reuse else SecurityEvent.AUTHN_TOKEN_REJECTED,
        user_id=rejected.user.id if rejected.user else None,
        reason=rejected.reason,
        session_id=str(rejected.session.id) if rejected.session else None,
    )


def _exchange(connection: Connection, token: str, now: datetime, resource: str | None) -> _Accepted | Rejected:
    family = find_family(connection, token, now=now)
    if isinstance(family, Rejected):
        return family
    record, session, user = family
    if is_reuse(record, session, now=now):
        return revoke_reused_family(connection, session, user, now=now)
    if record.spent_at and record.successor:
        return _repeat(token, record.successor, record.spent_at, session, user, now=now, resource=resource)
    return _rotate(connection, token, record, session, user, now=now, resource=resource)


def _rotate(
    connection: Connection,
    token: str,
    record: RefreshToken,
    session: Session,
    user: User,
    *,
    now: datetime,
    resource: str | None,
) -> _Accepted | Rejected:
    """Spend the live token, and store its successor."""
    successor = new_refresh_token()
    child = RefreshToken(
        token_hash=hash_refresh_token(successor),
        session_id=session.id,
        generation=record.generation + 1,
        issued_at=now,
        expires_at=refresh_expiry(session, now),
    )
    # Signed before the token is spent. If the signing key is unavailable, the client's token stays valid.
    pair = issue_token_pair(
        user, session, refresh_token=successor, refresh_expires_at=child.expires_at, now=now, resource=resource
    )
    sealed = seal_successor(successor, under=token)
    store.spend_refresh_token(connection, token_hash=record.token_hash, now=now, sealed_successor=sealed)
    if not advance_session(
        connection,
        session_id=session.id,
        generation=child.generation,
        now=now,
        spent_token_hash=record.token_hash,
        sealed_successor=sealed,
    ):
        # Another request has spent the token or revoked the session since both were read. Read them again.
        return _exchange(connection, token, now, resource)
    store.insert_refresh_token(connection, child)
    return _Accepted(user, session, pair)


def _repeat(
    token: str, sealed: bytes, spent_at: datetime, session: Session, user: User, *, now: datetime, resource: str | None
) -> _Accepted:
    """Return the successor of a spent token again."""
    successor = open_successor(sealed, under=token)
    expires_at = refresh_expiry(session, spent_at)
    pair = issue_token_pair(
        user, session, refresh_token=successor, refresh_expires_at=expires_at, now=now, resource=resource
    )
    return _Accepted(user, session, pair)


def _is_in_grace_period(spent_at: datetime, now: datetime) -> bool:
    # The clock of the environment that stored ``spent_at`` may be ahead of this one, by at most the leeway.
    return -timedelta(seconds=settings().clock_leeway) <= now - spent_at <= GRACE_PERIOD

"""Sessions: opened by a login, seen and ended by their owner."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Connection

from auth_common.errors import NotFound
from auth_common.events import request_context
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions import store
from auth_common.sessions.caller_checks import check_standing, require_step_up
from auth_common.sessions.principal import Principal
from auth_common.sessions.refresh_token_store import RefreshToken, insert_refresh_token
from auth_common.sessions.refresh_tokens import hash_refresh_token, new_refresh_token
from auth_common.sessions.step_up_tokens import LIFETIME as STEP_UP_LIFETIME
from auth_common.sessions.step_up_tokens import hash_step_up_token, new_step_up_token
from auth_common.sessions.store import Session
from auth_common.sessions.token_pairs import TokenPair, issue_token_pair
from auth_common.settings import settings
from auth_common.transactions import read, transaction
from auth_common.users.identifiers import parse_id
from auth_common.users.store import User, has_passkey, lock_user

PAGE_SIZE: Final = 50
#: Sessions that one transaction revokes. A transaction on Aurora DSQL changes at most 3,000 rows.
BATCH: Final = 1_000

#: ``(auth_time, id)`` of the last session on a page.
Place = tuple[datetime, UUID]
_T = TypeVar("_T")


class _MoreSessions(Exception):
    """The user has more sessions than this transaction has revoked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of a user's live sessions, newest first; ``next_place`` is ``None`` on the last one."""

    items: list[Session]
    next_place: Place | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that is not stored yet, with its tokens."""

    user: User
    session: Session
    refresh_token: RefreshToken
    tokens: TokenPair
    #: The passkey that the user has logged in with.
    passkey_id: UUID | None


def new_session(user: User, *, amr: tuple[str, ...], passkey_id: UUID | None = None) -> NewSession:
    """Return a session for a user who has proved their identity. Its tokens are signed, and nothing is stored.

    Args:
        user: the user.
        amr: the methods of the proof (RFC 8176).
        passkey_id: the passkey among them.

    """
    now = datetime.now(UTC).replace(microsecond=0)
    request = request_context.get()
    # The login is the first step-up: a user who has just logged in is not asked again.
    step_up_token = new_step_up_token()
    session = Session(
        id=uuid4(),
        user_id=user.id,
        amr=" ".join(amr),
        auth_time=now,
        source_ip=request.source_ip,
        user_agent=request.user_agent,
        last_used_at=now,
        expires_at=now + timedelta(seconds=settings().refresh_absolute_lifetime),
        token_version=user.token_version,
        step_up_hash=hash_step_up_token(step_up_token),
        step_up_amr=" ".join(amr),
        step_up_expires_at=now + STEP_UP_LIFETIME,
    )
    refresh_token = new_refresh_token()
    record = RefreshToken(
        token_hash=hash_refresh_token(refresh_token),
        session_id=session.id,
        generation=0,
        issued_at=now,
        expires_at=refresh_expiry(session, now),
    )
    # Signed before it is stored: if the key is away, no session without tokens remains.
    tokens = issue_token_pair(
        user,
        session,
        refresh_token=refresh_token,
        refresh_expires_at=record.expires_at,
        now=now,
        step_up_token=step_up_token,
    )
    return NewSession(user, session, record, tokens, passkey_id)


def store_session(connection: Connection, new: NewSession) -> None:
    """Store a session in the transaction of its login, together with the login's audit record.

    Call ``is_unchanged`` before in the same transaction. Otherwise the session could outlive a change that revokes all
    sessions of the user.
    """
    store.insert_session(connection, new.session)
    insert_refresh_token(connection, new.refresh_token)
    security_event(
        SecurityEvent.AUTHN_LOGIN_SUCCESS,
        user_id=new.user.id,
        amr=new.session.amr.split(),
        session_id=str(new.session.id),
        passkey_id=str(new.passkey_id) if new.passkey_id else None,
    )
    record_tokens_created(new.user, new.session)


def is_unchanged(connection: Connection, user: User) -> bool:
    """Return whether nothing has revoked all sessions of the user since ``user`` was read.

    A change of the password or of the passkeys waits for the end of this transaction from here on, and then revokes
    the session that it stores.
    """
    current = lock_user(connection, user_id=user.id)
    return current is not None and current.token_version == user.token_version


def record_tokens_created(user: User, session: Session) -> None:
    """Record that tokens of ``session`` were issued."""
    security_event(SecurityEvent.AUTHN_TOKEN_CREATED, user_id=user.id, session_id=str(session.id), role=user.role)


def refresh_expiry(session: Session, now: datetime) -> datetime:
    """Return when a refresh token issued ``now`` expires: after the idle time, and never later than its session."""
    return min(now + timedelta(seconds=settings().refresh_idle_lifetime), session.expires_at)


def list_sessions(principal: Principal, *, before: Place | None) -> SessionPage:
    """Return the caller's live sessions.

    Raises:
        InvalidToken: the caller's own session has ended.

    """

    def select(connection: Connection) -> list[Session]:
        standing = check_standing(connection, principal)
        now = datetime.now(UTC)
        return store.select_live_sessions(
            connection,
            user_id=principal.user_id,
            token_version=standing.token_version,
            used_since=now - timedelta(seconds=settings().refresh_idle_lifetime),
            now=now,
            before=before,
            limit=PAGE_SIZE + 1,
        )

    found = read(select)
    items = found[:PAGE_SIZE]
    return SessionPage(items, (items[-1].auth_time, items[-1].id) if len(found) > PAGE_SIZE else None)


def end_current_session(principal: Principal) -> None:
    """End the caller's own session; of two who do it at once, both have done it.

    Raises:
        InvalidToken: it has ended before.

    """
    _end(principal, only=principal.session_id)


def end_session(principal: Principal, session_id: str, *, step_up_token: str | None) -> None:
    """Revoke one session of the caller's.

    Args:
        principal: the caller.
        session_id: as it stood in the path; anything.
        step_up_token: as it stood in the header; the caller's own session needs none.

    Raises:
        InvalidToken: the caller's own session is revoked.
        NotFound: no live session of the caller's has this id.
        StepUpRequired: it is another one, and the step-up token is not valid.

    """
    target = parse_id(session_id)
    if target is None or _end(principal, only=target, step_up_token=step_up_token) == 0:
        raise NotFound


def end_all_sessions(principal: Principal, *, keep_current: bool, step_up_token: str | None) -> None:
    """Revoke the caller's sessions: all of them, or the others.

    Raises:
        InvalidToken: the caller's own session is revoked.
        StepUpRequired: the step-up token is not valid.

    """
    _end(principal, keep=principal.session_id if keep_current else None, step_up_token=step_up_token)


def change_and_revoke(principal: Principal, body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which revokes sessions of the caller, in one transaction, however many sessions there are.

    A change and its revocation commit together, but a transaction on Aurora DSQL changes at most 3,000 rows. If there
    is more than one batch, ``body`` rolls back. Each batch of the caller's other sessions is then revoked in a
    transaction of its own, and ``body`` runs again and revokes the rest. ``body`` has passed its checks before, so only
    a request that may revoke these sessions revokes them early. The caller's own session is left to ``body``.
    """
    while True:
        try:
            return transaction(body)
        except _MoreSessions as more:
            _revoke_batches(principal, reason=more.reason)


def end_other_sessions(connection: Connection, principal: Principal, *, reason: str) -> None:
    """Revoke all sessions of the caller except this one, after a change of what they log in with (ASVS 5.0 7.4.3).

    Call it in a body of ``change_and_revoke``, after every check of the request.
    """
    _revoke_all(connection, principal, reason=reason, keep=principal.session_id)


def _end(
    principal: Principal, *, only: UUID | None = None, keep: UUID | None = None, step_up_token: str | None = None
) -> int:
    def revoke(connection: Connection) -> int:
        standing = check_standing(connection, principal)
        if only != principal.session_id:
            # By password too, so that a user who has lost a device with a passkey can lock it out at once.
            account_has_passkey = has_passkey(connection, user_id=principal.user_id)
            require_step_up(
                principal, standing, step_up_token, account_has_passkey=account_has_passkey, by_password=True
            )
        if only is not None:
            return _revoke(connection, principal, reason="by_owner", only=only)
        return _revoke_all(connection, principal, reason="by_owner", keep=keep)

    return change_and_revoke(principal, revoke)


def _revoke_batches(principal: Principal, *, reason: str) -> None:
    """Revoke the caller's other sessions in batches, until one of them is not full."""

    def revoke(connection: Connection) -> int:
        return _revoke(connection, principal, reason=reason, keep=principal.session_id)

    while transaction(revoke) == BATCH:
        pass


def _revoke_all(connection: Connection, principal: Principal, *, reason: str, keep: UUID | None) -> int:
    """Revoke all sessions of the caller except ``keep``. Return how many.

    Raises:
        _MoreSessions: ``change_and_revoke`` must revoke some of them first.

    """
    revoked = _revoke(connection, principal, reason=reason, keep=keep)
    if store.has_live_session(connection, user_id=principal.user_id, keep=keep):
        raise _MoreSessions(reason)
    return revoked


def _revoke(
    connection: Connection, principal: Principal, *, reason: str, only: UUID | None = None, keep: UUID | None = None
) -> int:
    """Revoke up to ``BATCH`` sessions of the caller, and record it if there were any. Return how many."""
    ended = store.revoke_sessions(
        connection, user_id=principal.user_id, now=datetime.now(UTC), limit=BATCH, only=only, keep=keep
    )
    if ended:
        security_event(
            SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=principal.user_id, reason=reason, sessions_ended=ended
        )
    return ended

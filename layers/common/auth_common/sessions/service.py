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


def open_session(
    user: User, *, amr: tuple[str, ...], confirm: Callable[[Connection], bool], passkey_id: UUID | None = None
) -> TokenPair | None:
    """Open a session for ``user``, who has just proved who they are by ``amr`` (RFC 8176), and return its tokens.

    ``confirm`` runs in the same transaction and says whether the proof still counts. Where it does not, nothing is
    stored and ``None`` returned: a session must not appear behind the back of a change that ends sessions. The record
    of the login commits together with the session: nobody logs in unseen.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    request = request_context.get()
    # The login is the first step-up: who has just logged in is not asked again.
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
    pair = issue_token_pair(
        user,
        session,
        refresh_token=refresh_token,
        refresh_expires_at=record.expires_at,
        now=now,
        step_up_token=step_up_token,
    )

    def store_both(connection: Connection) -> bool:
        if not confirm(connection):
            return False
        store.insert_session(connection, session)
        insert_refresh_token(connection, record)
        security_event(
            SecurityEvent.AUTHN_LOGIN_SUCCESS,
            user_id=user.id,
            amr=list(amr),
            session_id=str(session.id),
            passkey_id=str(passkey_id) if passkey_id else None,
        )
        record_tokens_created(user, session)
        return True

    return pair if transaction(store_both) else None


def is_unchanged(connection: Connection, user: User) -> bool:
    """Look again, for ``confirm``: has nothing ended all of the user's sessions since ``user`` was read?

    From here on, whoever changes the password or adds a first passkey waits for the end of this transaction, and then
    ends the session that it opens.
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

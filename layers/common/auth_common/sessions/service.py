"""Sessions: opened by a login, listed and revoked by their user."""

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
from auth_common.sessions.caller_checks import lock_valid_session, require_step_up, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.sessions.refresh_token_store import RefreshToken, insert_refresh_token
from auth_common.sessions.refresh_tokens import hash_refresh_token, new_refresh_token
from auth_common.sessions.step_up_tokens import STEP_UP_TOKEN_LIFETIME, hash_step_up_token, new_step_up_token
from auth_common.sessions.store import Session
from auth_common.sessions.token_pairs import TokenPair, issue_token_pair
from auth_common.settings import settings
from auth_common.transactions import read, transaction
from auth_common.users.store import LockedUser, User, has_passkey, lock_user, lock_user_and_passkeys, mark_used
from auth_common.users.uuids import parse_uuid

PAGE_SIZE: Final = 50
#: How many sessions one transaction revokes. A transaction on Aurora DSQL changes at most 3,000 rows.
BATCH_SESSIONS: Final = 1_000

#: A position in the list: ``(auth_time, id)`` of the last session on a page.
SessionPosition = tuple[datetime, UUID]
_T = TypeVar("_T")


class _MoreSessions(Exception):
    """The user has more sessions than this transaction has revoked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of a user's valid sessions, newest first. ``next_position`` is None on the last page."""

    items: list[Session]
    next_position: SessionPosition | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session and its tokens, before they are stored."""

    user: User
    session: Session
    refresh_token: RefreshToken
    tokens: TokenPair
    #: The passkey with which the user has logged in.
    passkey_id: UUID | None
    #: The other service for which the access token is.
    resource: str | None


def new_session(
    user: User, *, amr: tuple[str, ...], resource: str | None, passkey_id: UUID | None = None
) -> NewSession:
    """Return a new session with signed tokens for a user who has proved their identity. Nothing is stored.

    Args:
        user: the user.
        amr: the methods of the proof (RFC 8176).
        resource: the other service for which the access token is (``tokens.access_tokens``).
        passkey_id: the passkey of the proof, if there was one.

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
        step_up_expires_at=now + STEP_UP_TOKEN_LIFETIME,
    )
    refresh_token = new_refresh_token()
    record = RefreshToken(
        token_hash=hash_refresh_token(refresh_token),
        session_id=session.id,
        generation=0,
        issued_at=now,
        expires_at=refresh_expiry(session, now),
    )
    # Signed before the session is stored. If the signing key is unavailable, no session without tokens is left behind.
    tokens = issue_token_pair(
        user,
        session,
        refresh_token=refresh_token,
        refresh_expires_at=record.expires_at,
        now=now,
        resource=resource,
        step_up_token=step_up_token,
    )
    return NewSession(user, session, record, tokens, passkey_id, resource)


def store_session(connection: Connection, new: NewSession, *, replaced: Principal | None) -> None:
    """Store a session in the transaction of its login, together with the audit records of the login.

    Call ``lock_unchanged_user`` or ``is_user_unchanged`` first in the same transaction. Otherwise a concurrent change
    that revokes all sessions of the user could miss this one.

    Args:
        connection: to write with.
        new: the session.
        replaced: the session that the client had before, which is revoked if it is still valid (ASVS 5.0 7.2.4). It may
            be another user's: its access token is enough to revoke it with ``POST /logout`` too.

    """
    store.insert_session(connection, new.session)
    if new.user.unused_until is not None:
        mark_used(connection, user_id=new.user.id)
    insert_refresh_token(connection, new.refresh_token)
    security_event(
        SecurityEvent.AUTHN_LOGIN_SUCCESS,
        user_id=new.user.id,
        amr=new.session.amr.split(),
        session_id=str(new.session.id),
        passkey_id=str(new.passkey_id) if new.passkey_id else None,
    )
    record_tokens_created(new.user, new.session, resource=new.resource)
    if replaced is not None and lock_valid_session(connection, replaced):
        store.revoke_live_session(connection, session_id=replaced.session_id, now=datetime.now(UTC))
        _record_revocation(replaced, reason="replaced_by_login", sessions_ended=1)


def is_user_unchanged(connection: Connection, user: User) -> bool:
    """Return whether the user's token version is still that of ``user``, and lock the user's row.

    A higher version means that all sessions have been revoked since ``user`` was read. Because of the lock, a change of
    the password or passkeys waits for this transaction, and then revokes the session that is stored in it.
    """
    current = lock_user(connection, user_id=user.id)
    return current is not None and current.token_version == user.token_version


def lock_unchanged_user(connection: Connection, user: User) -> LockedUser | None:
    """Lock a user, and return them as they are now. Return None if ``is_user_unchanged`` would return False."""
    locked = lock_user_and_passkeys(connection, user_id=user.id)
    return locked if locked and locked.user.token_version == user.token_version else None


def record_tokens_created(user: User, session: Session, *, resource: str | None) -> None:
    """Record the security event that tokens of ``session`` were issued, with an access token for ``resource``."""
    security_event(
        SecurityEvent.AUTHN_TOKEN_CREATED,
        user_id=user.id,
        session_id=str(session.id),
        role=user.role,
        resource=resource,
    )


def refresh_expiry(session: Session, now: datetime) -> datetime:
    """Return when a refresh token issued ``now`` expires: after the idle lifetime, or earlier with its session."""
    return min(now + timedelta(seconds=settings().refresh_idle_lifetime), session.expires_at)


def list_sessions(principal: Principal, *, before: SessionPosition | None) -> SessionPage:
    """Return a page of the caller's valid sessions, newest first.

    Args:
        principal: the caller.
        before: the position after which the page begins, from ``next_position``. None for the first page.

    Raises:
        InvalidToken: the caller's own session is not valid.

    """

    def select(connection: Connection) -> list[Session]:
        state = require_valid_session(connection, principal)
        now = datetime.now(UTC)
        return store.select_live_sessions(
            connection,
            user_id=principal.user_id,
            token_version=state.token_version,
            used_since=now - timedelta(seconds=settings().refresh_idle_lifetime),
            now=now,
            before=before,
            limit=PAGE_SIZE + 1,
        )

    found = read(select)
    items = found[:PAGE_SIZE]
    return SessionPage(items, (items[-1].auth_time, items[-1].id) if len(found) > PAGE_SIZE else None)


def revoke_current_session(principal: Principal) -> None:
    """Revoke the caller's own session. Of two concurrent calls both succeed.

    Raises:
        InvalidToken: the session was not valid before.

    """
    _revoke_checked(principal, only=principal.session_id)


def revoke_session(principal: Principal, session_id: str, *, step_up_token: str | None) -> None:
    """Revoke one of the caller's sessions.

    Args:
        principal: the caller.
        session_id: any text, from the path.
        step_up_token: the header, as the client sent it. Not required for the caller's own session.

    Raises:
        InvalidToken: the caller's own session is not valid.
        NotFound: the caller has no session with this id, or it is revoked already.
        StepUpRequired: it is not the caller's own session, and the step-up token is not valid.

    """
    target = parse_uuid(session_id)
    if target is None or _revoke_checked(principal, only=target, step_up_token=step_up_token) == 0:
        raise NotFound


def revoke_all_sessions(principal: Principal, *, keep_current: bool, step_up_token: str | None) -> None:
    """Revoke all of the caller's sessions, or with ``keep_current`` all except the caller's own.

    Raises:
        InvalidToken: the caller's own session is not valid.
        StepUpRequired: the step-up token is not valid.

    """
    _revoke_checked(principal, keep=principal.session_id if keep_current else None, step_up_token=step_up_token)


def change_and_revoke(principal: Principal, body: Callable[[Connection], _T]) -> _T:
    """Run ``body``, which makes a change and revokes any number of the caller's sessions, in one transaction.

    The change and the revocation commit together, but a transaction on Aurora DSQL changes at most 3,000 rows. If there
    is more than one batch of sessions, ``body`` is rolled back. Each batch of the caller's other sessions is then
    revoked in a transaction of its own, and ``body`` runs again and revokes the rest.

    ``body`` revokes sessions after its checks, so only a request that may revoke sessions revokes them early. The
    caller's own session is revoked by ``body`` alone.
    """
    while True:
        try:
            return transaction(body)
        except _MoreSessions as more:
            _revoke_batches(principal, reason=more.reason)


def revoke_other_sessions(connection: Connection, principal: Principal, *, reason: str) -> None:
    """Revoke all sessions of the caller except their own, after a change of password or passkeys (ASVS 5.0 7.4.3).

    Call it in a ``body`` of ``change_and_revoke``, after every check of the request.
    """
    _revoke_all(connection, principal, reason=reason, keep=principal.session_id)


def _revoke_checked(
    principal: Principal, *, only: UUID | None = None, keep: UUID | None = None, step_up_token: str | None = None
) -> int:
    """Check the caller's session and step-up token, and revoke sessions of the caller. Return how many."""

    def revoke(connection: Connection) -> int:
        state = require_valid_session(connection, principal)
        if only != principal.session_id:
            # By password too, so that a user who has lost a device with a passkey can revoke its sessions at once.
            account_has_passkey = has_passkey(connection, user_id=principal.user_id)
            require_step_up(principal, state, step_up_token, account_has_passkey=account_has_passkey, by_password=True)
        if only is not None:
            return _revoke(connection, principal, reason="by_owner", only=only)
        return _revoke_all(connection, principal, reason="by_owner", keep=keep)

    return change_and_revoke(principal, revoke)


def _revoke_batches(principal: Principal, *, reason: str) -> None:
    """Revoke the caller's other sessions in batches, until a batch is not full."""

    def revoke(connection: Connection) -> int:
        return _revoke(connection, principal, reason=reason, keep=principal.session_id)

    while transaction(revoke) == BATCH_SESSIONS:
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
    """Revoke up to ``BATCH_SESSIONS`` sessions of the caller, and record the security event. Return how many."""
    revoked = store.revoke_sessions(
        connection, user_id=principal.user_id, now=datetime.now(UTC), limit=BATCH_SESSIONS, only=only, keep=keep
    )
    if revoked:
        _record_revocation(principal, reason=reason, sessions_ended=revoked)
    return revoked


def _record_revocation(principal: Principal, *, reason: str, sessions_ended: int) -> None:
    security_event(
        SecurityEvent.AUTHN_TOKEN_REVOKED, user_id=principal.user_id, reason=reason, sessions_ended=sessions_ended
    )

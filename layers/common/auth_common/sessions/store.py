"""The table of sessions, with the state of a caller's session and account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
    update,
)

from auth_common.audit_log.salt_store import bring_salt, salt_of
from auth_common.database.pipeline import lock_with_next, write_later
from auth_common.database.tables import as_row, refresh_tokens, sessions, users
from auth_common.users.store import USER_COLUMNS, User, user_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session: one login. It is valid until ``expires_at``, unless it is revoked before."""

    id: UUID
    user_id: UUID
    #: The methods of the login: RFC 8176 values, separated by spaces.
    amr: str
    auth_time: datetime
    source_ip: str
    user_agent: str
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    #: The user's token version at the login.
    token_version: int
    #: The generation of the session's newest refresh token.
    generation: int = 0
    #: The step-up token: its SHA-256, the methods of its proof (as in ``amr``) and its expiry.
    step_up_hash: bytes | None = None
    step_up_amr: str | None = None
    step_up_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerState:
    """A caller's session and account as the database has them now. The access token may be older."""

    role: str
    status: str
    token_version: int
    session_expires_at: datetime
    session_revoked_at: datetime | None
    #: The methods and the time of the login, as in ``Session``.
    amr: str
    auth_time: datetime
    #: The step-up token, as in ``Session``.
    step_up_hash: bytes | None
    step_up_amr: str | None
    step_up_expires_at: datetime | None


#: The columns of ``Session``, in the order of its fields.
SESSION_COLUMNS: Final = tuple(sessions.c[name] for name in Session.__dataclass_fields__)

_caller: Final = users.alias("caller")
_target: Final = users.alias("target")

#: A caller's session and account, in the order of the fields of ``CallerState``. Other stores add columns.
SELECT_CALLER_STATE: Final = (
    select(
        _caller.c.role,
        _caller.c.status,
        _caller.c.token_version,
        sessions.c.expires_at,
        sessions.c.revoked_at,
        sessions.c.amr,
        sessions.c.auth_time,
        sessions.c.step_up_hash,
        sessions.c.step_up_amr,
        sessions.c.step_up_expires_at,
    )
    .select_from(sessions.join(_caller, _caller.c.id == sessions.c.user_id))
    .where(sessions.c.id == bindparam("session_id"), sessions.c.user_id == bindparam("user_id"))
)
CALLER_STATE_FIELDS: Final = tuple(CallerState.__dataclass_fields__)
_SELECT_CALLER_STATE_AND_SALT: Final = SELECT_CALLER_STATE.add_columns(salt_of(_caller.c.id))

#: The caller's state and the requested user in one statement, so both are read at the same moment in one round trip.
_SELECT_CALLER_STATE_AND_USER: Final = SELECT_CALLER_STATE.add_columns(
    *(_target.c[column.name] for column in USER_COLUMNS)
).outerjoin_from(sessions, _target, _target.c.id == bindparam("target_id"))
SELECT_CALLER_STATE_AND_PASSWORD_HASH: Final = SELECT_CALLER_STATE.add_columns(_caller.c.password_hash)
_LOCK: Final = select(sessions.c.id).where(sessions.c.id == bindparam("session_id")).with_for_update()
_INSERT: Final = sessions.insert()
_ADVANCE: Final = (
    update(sessions)
    .where(
        sessions.c.id == bindparam("session_id"),
        sessions.c.revoked_at.is_(None),
        exists().where(
            refresh_tokens.c.token_hash == bindparam("spent"), refresh_tokens.c.successor == bindparam("sealed")
        ),
    )
    .values(generation=bindparam("newest"), last_used_at=bindparam("now"))
)
#: NULL means 0: Aurora DSQL cannot add a column with a default to a table.
_FAILED_PROOFS: Final = func.coalesce(sessions.c.failed_proofs, 0)
_PENDING_PROOFS: Final = func.coalesce(sessions.c.pending_proofs, 0)
_UPDATE_LIVE_SESSION: Final = update(sessions).where(
    sessions.c.id == bindparam("session_id"), sessions.c.revoked_at.is_(None)
)
_NO_STEP_UP: Final = {"step_up_hash": None, "step_up_amr": None, "step_up_expires_at": None}


def insert_session(connection: Connection, session: Session) -> None:
    """Store a session."""
    write_later(connection, _INSERT, as_row(session))


def select_caller_state(connection: Connection, *, session_id: UUID, user_id: UUID) -> CallerState | None:
    """Return a caller's session and account. Return None if the user has no such session."""
    row = connection.execute(
        _SELECT_CALLER_STATE_AND_SALT, {"session_id": session_id, "user_id": user_id}
    ).one_or_none()
    if row is None:
        return None
    bring_salt(connection, user_id=user_id, stored=row.salt)
    return as_caller_state(row)


def as_caller_state(row: Sequence[Any]) -> CallerState:
    """Return the first columns of a row of ``SELECT_CALLER_STATE``, to which columns may have been added."""
    return CallerState(**dict(zip(CALLER_STATE_FIELDS, row, strict=False)))


def select_caller_state_and_user(
    connection: Connection, *, session_id: UUID, user_id: UUID, target_id: UUID | None
) -> tuple[CallerState | None, User | None]:
    """Return a caller's session and account, and the user ``target_id``.

    Return None instead of the first if the caller has no such session, and instead of the second if there is no such
    user.
    """
    row = connection.execute(
        _SELECT_CALLER_STATE_AND_USER, {"session_id": session_id, "user_id": user_id, "target_id": target_id}
    ).one_or_none()
    if row is None:
        return None, None
    state = as_caller_state(row)
    columns = row[len(CALLER_STATE_FIELDS) :]
    user = user_of(columns) if columns[0] is not None else None
    return state, user


def lock_session(connection: Connection, *, session_id: UUID) -> None:
    """Lock a session's row until the transaction ends, together with the next statement, which reads the session."""
    lock_with_next(connection, _LOCK, {"session_id": session_id})


def select_live_sessions(
    connection: Connection,
    *,
    user_id: UUID,
    token_version: int,
    used_since: datetime,
    now: datetime,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Session]:
    """Return up to ``limit`` valid sessions of a user, newest first.

    Args:
        connection: to read with.
        user_id: the user.
        token_version: the user's token version. Sessions with an older one are revoked, and left out.
        used_since: sessions that were not used since then have expired, and are left out.
        now: the time. Sessions that have expired are left out.
        before: ``(auth_time, id)`` of the last session on the page before. A position instead of a number of rows, so
            that pages skip and repeat nothing while sessions are opened and revoked.
        limit: the maximum number of sessions.

    """
    order = (sessions.c.auth_time, sessions.c.id)
    statement = (
        select(*SESSION_COLUMNS)
        .where(
            sessions.c.user_id == user_id,
            sessions.c.token_version == token_version,
            sessions.c.last_used_at > used_since,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
        )
        .order_by(*(column.desc() for column in order))
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*order) < tuple_(*before))
    return [Session(**row) for row in connection.execute(statement).mappings()]


def advance_session(
    connection: Connection,
    *,
    session_id: UUID,
    generation: int,
    now: datetime,
    spent_token_hash: bytes,
    sealed_successor: bytes,
) -> bool:
    """Store the generation of the session's newest refresh token, for which this transaction has spent another one.

    Return False, and change nothing, if the session is revoked, or if another request has spent the token first.

    A rotation and a concurrent revocation write the same row, so one waits for the other. The revocation wins in either
    order.

    Args:
        connection: to write with.
        session_id: the session.
        generation: of the newest refresh token.
        now: the time.
        spent_token_hash: the token that ``spend_refresh_token`` was to spend.
        sealed_successor: what it was to store. No other request has the same, because of the random nonce.

    """
    spent = {"spent": spent_token_hash, "sealed": sealed_successor}
    result = connection.execute(_ADVANCE, {"session_id": session_id, "newest": generation, "now": now, **spent})
    return result.rowcount == 1


def count_live_sessions(connection: Connection, *, user_id: UUID, token_version: int, now: datetime) -> int:
    """Return the number of a user's sessions that are neither revoked nor expired.

    Args:
        connection: to read with.
        user_id: the user.
        token_version: the user's version. A session of an older one is revoked.
        now: the time.

    """
    live = select(func.count()).where(
        sessions.c.user_id == user_id,
        sessions.c.token_version == token_version,
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > now,
    )
    number: int = connection.execute(live).scalar_one()
    return number


def revoke_sessions(
    connection: Connection,
    *,
    user_id: UUID,
    now: datetime,
    limit: int,
    only: UUID | None = None,
    keep: UUID | None = None,
) -> int:
    """Revoke up to ``limit`` sessions of a user: only the session ``only``, or all except the session ``keep``.

    Return how many. Even if that is less than ``limit``, the user may have more: see ``has_live_session``.
    """
    is_live = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
    chosen = select(sessions.c.id).where(*is_live).limit(limit)
    if only is not None:
        chosen = chosen.where(sessions.c.id == only)
    if keep is not None:
        chosen = chosen.where(sessions.c.id != keep)
    # Both conditions are repeated, because another transaction may have revoked a session since it was chosen.
    return connection.execute(
        update(sessions).where(sessions.c.id.in_(chosen), *is_live).values(revoked_at=now)
    ).rowcount


def revoke_live_session(connection: Connection, *, session_id: UUID, now: datetime) -> None:
    """Revoke a session. Change nothing if it is revoked already."""
    write_later(connection, _UPDATE_LIVE_SESSION.values(revoked_at=now), {"session_id": session_id})


def has_live_session(connection: Connection, *, user_id: UUID, keep: UUID | None) -> bool:
    """Return whether a user has a session that is not revoked, apart from ``keep``.

    The result of ``revoke_sessions`` does not show this. PostgreSQL skips a chosen session that another transaction has
    revoked meanwhile, and chooses no other session in its place.
    """
    live = select(sessions.c.id).where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None)).limit(1)
    if keep is not None:
        live = live.where(sessions.c.id != keep)
    return connection.execute(live).one_or_none() is not None


def carry_over_session(connection: Connection, *, session_id: UUID, token_version: int, pending_proofs: int) -> None:
    """Move a session to its user's new token version, so that it stays valid. Delete its step-up token.

    Its access tokens have the old version, and are rejected. The proof for this change was right: reset the wrong
    proofs, and subtract ``pending_proofs`` from the pending ones.
    """
    values = _right_proof(pending_proofs) | _NO_STEP_UP | {"token_version": token_version}
    write_later(connection, update(sessions).where(sessions.c.id == session_id).values(values), {})


def grant_step_up(
    connection: Connection, *, session_id: UUID, token_hash: bytes, amr: str, expires_at: datetime, pending_proofs: int
) -> None:
    """Store a session's step-up token, which replaces the one before.

    The proof for this token was right: reset the wrong proofs, and subtract ``pending_proofs`` from the pending ones.
    """
    step_up = {"step_up_hash": token_hash, "step_up_amr": amr, "step_up_expires_at": expires_at}
    values = step_up | _right_proof(pending_proofs)
    write_later(connection, update(sessions).where(sessions.c.id == session_id).values(values), {})


def delete_step_up_token(connection: Connection, *, session_id: UUID) -> None:
    """Delete a session's step-up token."""
    write_later(connection, update(sessions).where(sessions.c.id == session_id).values(**_NO_STEP_UP), {})


def delete_step_up_tokens_of(connection: Connection, *, user_id: UUID, now: datetime, limit: int) -> int:
    """Delete the step-up tokens of up to ``limit`` sessions of a user. Return how many.

    Expired ones stay, because they open nothing.
    """
    is_valid = (sessions.c.user_id == user_id, sessions.c.step_up_expires_at > now)
    chosen = select(sessions.c.id).where(*is_valid).limit(limit)
    return connection.execute(update(sessions).where(sessions.c.id.in_(chosen)).values(**_NO_STEP_UP)).rowcount


def count_pending_proof(
    connection: Connection, *, session_id: UUID, max_proofs: int, now: datetime, until: datetime
) -> bool:
    """Count a proof of identity as pending. Return False at the maximum, or if the session is revoked.

    The statement itself compares the count with the maximum, so a burst cannot exceed it.

    Args:
        connection: to write with.
        session_id: the caller's session.
        max_proofs: the maximum of wrong and pending proofs, this one included.
        now: the time. Proofs that were pending until then have crashed, and are no longer counted.
        until: the time until which this proof is counted as pending.

    """
    pending = case((sessions.c.pending_proofs_until > now, _PENDING_PROOFS), else_=0)
    counted = _UPDATE_LIVE_SESSION.where(_FAILED_PROOFS + pending < max_proofs)
    values = {"pending_proofs": pending + 1, "pending_proofs_until": until}
    return connection.execute(counted.values(values), {"session_id": session_id}).rowcount == 1


def cancel_pending_proofs(connection: Connection, *, session_id: UUID, pending_proofs: int) -> None:
    """Subtract ``pending_proofs`` from the pending proofs, because they were neither right nor wrong."""
    cancelled = _UPDATE_LIVE_SESSION.values(pending_proofs=_fewer_pending(pending_proofs))
    connection.execute(cancelled, {"session_id": session_id})


def record_wrong_proof(
    connection: Connection, *, session_id: UUID, pending_proofs: int, max_wrong_proofs: int, now: datetime
) -> bool:
    """Count a proof as wrong, and revoke the session at the maximum. Return whether this has revoked the session.

    Args:
        connection: to write with.
        session_id: the caller's session.
        pending_proofs: how many to subtract from the pending proofs.
        max_wrong_proofs: the number of wrong proofs that revokes the session.
        now: the time.

    """
    failed = _FAILED_PROOFS + 1
    values = {
        "failed_proofs": failed,
        "pending_proofs": _fewer_pending(pending_proofs),
        "revoked_at": case((failed >= max_wrong_proofs, literal(now, sessions.c.revoked_at.type)), else_=None),
    }
    recorded = _UPDATE_LIVE_SESSION.values(values).returning(sessions.c.revoked_at)
    row = connection.execute(recorded, {"session_id": session_id}).one_or_none()
    return row is not None and row.revoked_at is not None


def _right_proof(pending_proofs: int) -> dict[str, Any]:
    """Return the values that a right proof writes. Other proofs that are pending stay counted."""
    return {"failed_proofs": 0, "pending_proofs": _fewer_pending(pending_proofs)}


def _fewer_pending(number: int) -> ColumnElement[int]:
    return case((number < _PENDING_PROOFS, _PENDING_PROOFS - number), else_=0)


def delete_expired_sessions(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` sessions that expired before ``expired_before``. Return how many.

    Sessions that still have refresh tokens are left out.
    """
    expired = (
        select(sessions.c.id)
        .where(sessions.c.expires_at < expired_before, ~exists().where(refresh_tokens.c.session_id == sessions.c.id))
        .limit(limit)
    )
    return connection.execute(delete(sessions).where(sessions.c.id.in_(expired))).rowcount

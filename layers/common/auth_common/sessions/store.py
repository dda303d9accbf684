"""The table of sessions, and a caller's standing by it."""

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

from auth_common.database.tables import as_row, refresh_tokens, sessions, users
from auth_common.users.store import USER_COLUMNS, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. ``revoked_at`` and ``expires_at`` (absolute) end it."""

    id: UUID
    user_id: UUID
    #: RFC 8176 values, space-separated.
    amr: str
    auth_time: datetime
    source_ip: str
    user_agent: str
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    #: The user's at the login.
    token_version: int
    #: The generation of the newest refresh token in its family.
    generation: int = 0
    #: The SHA-256 of the step-up token, its proof (RFC 8176 values, space-separated) and its end.
    step_up_hash: bytes | None = None
    step_up_amr: str | None = None
    step_up_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database says of a caller at this moment, whatever their token said when it was signed."""

    role: str
    status: str
    token_version: int
    session_expires_at: datetime
    session_revoked_at: datetime | None
    #: How (RFC 8176, space-separated) and when the person logged in.
    amr: str
    auth_time: datetime
    #: Of the step-up token, as in ``Session``.
    step_up_hash: bytes | None
    step_up_amr: str | None
    step_up_expires_at: datetime | None


#: The columns of ``Session``, in its order.
SESSION_COLUMNS: Final = tuple(sessions.c[name] for name in Session.__dataclass_fields__)

_caller: Final = users.alias("caller")
_target: Final = users.alias("target")

_standing: Final = (
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
_STANDING_FIELDS: Final = tuple(Standing.__dataclass_fields__)

#: The caller's standing and the user that they ask for, in one statement: one round trip, one moment in time.
_SELECT_STANDING_AND_USER: Final = _standing.add_columns(
    *(_target.c[column.name] for column in USER_COLUMNS)
).outerjoin_from(sessions, _target, _target.c.id == bindparam("target_id"))
_INSERT: Final = sessions.insert()
_ADVANCE: Final = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"), sessions.c.revoked_at.is_(None))
    .values(generation=bindparam("newest"), last_used_at=bindparam("now"))
)
#: Nullable, because Aurora DSQL adds no column that has a default.
_FAILED_PROOFS: Final = func.coalesce(sessions.c.failed_proofs, 0)
_PENDING_PROOFS: Final = func.coalesce(sessions.c.pending_proofs, 0)
_LIVE: Final = update(sessions).where(sessions.c.id == bindparam("session_id"), sessions.c.revoked_at.is_(None))
_NO_STEP_UP: Final = {"step_up_hash": None, "step_up_amr": None, "step_up_expires_at": None}


def insert_session(connection: Connection, session: Session) -> None:
    """Store a login."""
    connection.execute(_INSERT, as_row(session))


def select_standing(connection: Connection, *, session_id: UUID, user_id: UUID) -> Standing | None:
    """Return the standing of the caller; ``None``: no such session of theirs."""
    row = connection.execute(_standing, {"session_id": session_id, "user_id": user_id}).one_or_none()
    return Standing(**dict(zip(_STANDING_FIELDS, row, strict=True))) if row else None


def select_standing_and_user(
    connection: Connection, *, session_id: UUID, user_id: UUID, target_id: UUID | None
) -> tuple[Standing | None, User | None]:
    """Return the standing of the caller (``None``: no such session of theirs) and the user ``target_id``."""
    row = connection.execute(
        _SELECT_STANDING_AND_USER, {"session_id": session_id, "user_id": user_id, "target_id": target_id}
    ).one_or_none()
    if row is None:
        return None, None
    standing = Standing(**dict(zip(_STANDING_FIELDS, row, strict=False)))
    columns = row[len(_STANDING_FIELDS) :]
    user = User(**dict(zip(User.__dataclass_fields__, columns, strict=True))) if columns[0] is not None else None
    return standing, user


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
    """Return a user's live sessions, newest first, ``limit`` of them at most.

    Args:
        connection: to read with.
        user_id: whose.
        token_version: the user's; sessions of an older one have ended.
        used_since: sessions without use since then have expired.
        now: sessions that had expired by then are left out.
        before: ``(auth_time, id)`` of the last one that the reader has seen; a place in the order, not a number of
            rows, so that pages neither skip nor repeat while sessions come and go.
        limit: rows.

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


def advance_session(connection: Connection, *, session_id: UUID, generation: int, now: datetime) -> bool:
    """Record that a refresh token of ``generation`` is the family's newest; ``False`` where the session has ended.

    This write is where a rotation and a revocation of one session meet: the revocation wins, whoever was first.
    """
    result = connection.execute(_ADVANCE, {"session_id": session_id, "newest": generation, "now": now})
    return result.rowcount == 1


def revoke_sessions(
    connection: Connection,
    *,
    user_id: UUID,
    now: datetime,
    limit: int,
    only: UUID | None = None,
    keep: UUID | None = None,
) -> int:
    """Revoke up to ``limit`` sessions of a user: the one called ``only``, any except ``keep``, or any.

    Return how many. The user may have more, also if that is less than ``limit``: see ``has_live_session``.
    """
    is_live = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
    chosen = select(sessions.c.id).where(*is_live).limit(limit)
    if only is not None:
        chosen = chosen.where(sessions.c.id == only)
    if keep is not None:
        chosen = chosen.where(sessions.c.id != keep)
    # Both conditions again: another transaction may have revoked a session since it was chosen.
    return connection.execute(
        update(sessions).where(sessions.c.id.in_(chosen), *is_live).values(revoked_at=now)
    ).rowcount


def has_live_session(connection: Connection, *, user_id: UUID, keep: UUID | None) -> bool:
    """Return whether a user has a session that is not revoked, except ``keep``.

    The number of sessions that ``revoke_sessions`` has revoked does not tell. PostgreSQL leaves out each chosen session
    that another transaction has revoked meanwhile, and chooses no other one instead.
    """
    live = select(sessions.c.id).where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None)).limit(1)
    if keep is not None:
        live = live.where(sessions.c.id != keep)
    return connection.execute(live).one_or_none() is not None


def carry_over_session(connection: Connection, *, session_id: UUID, token_version: int, pending_proofs: int) -> None:
    """Let a session go on under its user's new token version, without access tokens and without a step-up token.

    The proof that allowed this was right: reset the wrong proofs, and remove ``pending_proofs`` from the pending ones.
    """
    values = _right_proof(pending_proofs) | _NO_STEP_UP | {"token_version": token_version}
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(values))


def grant_step_up(
    connection: Connection, *, session_id: UUID, token_hash: bytes, amr: str, expires_at: datetime, pending_proofs: int
) -> None:
    """Store a session's step-up token in place of the one before.

    The proof that allowed this was right: reset the wrong proofs, and remove ``pending_proofs`` from the pending ones.
    """
    step_up = {"step_up_hash": token_hash, "step_up_amr": amr, "step_up_expires_at": expires_at}
    values = step_up | _right_proof(pending_proofs)
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(values))


def end_step_up(connection: Connection, *, session_id: UUID) -> None:
    """Delete a session's step-up token."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(**_NO_STEP_UP))


def count_proof(connection: Connection, *, session_id: UUID, ceiling: int, now: datetime, until: datetime) -> bool:
    """Count a proof of identity as pending before it is checked.

    The comparison is in the write itself, so that a burst cannot exceed the ceiling.

    Args:
        connection: to write with.
        session_id: the caller's session.
        ceiling: how many proofs may be wrong or pending, this one included.
        now: the time. Proofs that were pending until then have crashed, and are forgotten.
        until: when the check of this proof has ended, whatever happens.

    Return False at the ceiling, or if the session is revoked.
    """
    pending = case((sessions.c.pending_proofs_until > now, _PENDING_PROOFS), else_=0)
    counted = _LIVE.where(_FAILED_PROOFS + pending < ceiling)
    values = {"pending_proofs": pending + 1, "pending_proofs_until": until}
    return connection.execute(counted.values(values), {"session_id": session_id}).rowcount == 1


def take_back_proofs(connection: Connection, *, session_id: UUID, pending_proofs: int) -> None:
    """Remove ``pending_proofs`` from the pending proofs: they were neither right nor wrong."""
    taken_back = _LIVE.values(pending_proofs=_fewer_pending(pending_proofs))
    connection.execute(taken_back, {"session_id": session_id})


def record_wrong_proof(
    connection: Connection, *, session_id: UUID, pending_proofs: int, ceiling: int, now: datetime
) -> bool:
    """Count a proof as wrong, and revoke the session if that reaches ``ceiling``. Return whether it is revoked by this.

    Args:
        connection: to write with.
        session_id: the caller's session.
        pending_proofs: how many to remove from the pending ones.
        ceiling: the number of wrong proofs that revokes the session.
        now: the time.

    """
    failed = _FAILED_PROOFS + 1
    values = {
        "failed_proofs": failed,
        "pending_proofs": _fewer_pending(pending_proofs),
        "revoked_at": case((failed >= ceiling, literal(now, sessions.c.revoked_at.type)), else_=None),
    }
    recorded = _LIVE.values(values).returning(sessions.c.revoked_at)
    row = connection.execute(recorded, {"session_id": session_id}).one_or_none()
    return row is not None and row.revoked_at is not None


def _right_proof(pending_proofs: int) -> dict[str, Any]:
    """Return what a right proof writes. Wrong ones that are still pending count afterwards."""
    return {"failed_proofs": 0, "pending_proofs": _fewer_pending(pending_proofs)}


def _fewer_pending(number: int) -> ColumnElement[int]:
    return case((number < _PENDING_PROOFS, _PENDING_PROOFS - number), else_=0)


def delete_expired_sessions(connection: Connection, ended_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` sessions that expired before then and have no refresh tokens left; return how many."""
    expired = (
        select(sessions.c.id)
        .where(sessions.c.expires_at < ended_before, ~exists().where(refresh_tokens.c.session_id == sessions.c.id))
        .limit(limit)
    )
    return connection.execute(delete(sessions).where(sessions.c.id.in_(expired))).rowcount

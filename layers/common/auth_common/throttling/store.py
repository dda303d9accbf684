"""The table of throttles: counters that a burst of concurrent attempts cannot exceed.

One statement checks the lockout and counts the attempt. So the second of two concurrent attempts sees the count of the
first. SQLite has one writer, PostgreSQL makes the second one wait for the row, and Aurora DSQL makes one of them retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, and_, bindparam, case, delete, func, select, text, update

from auth_common.database.tables import UtcDateTime, sessions, throttles, users


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """A counter of failures."""

    key: bytes
    failures: int
    started_at: datetime
    locked_until: datetime | None
    refusal_recorded: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KnownClients:
    """The client IPs and User-Agents that an account is known to use."""

    #: None if no account has the address.
    user_id: UUID | None
    #: Client IP and User-Agent of logins as they were stored, the newest first.
    logins: list[tuple[str, str]]
    #: Keyed hash of the client IP of the registration or the last password reset. None if it is no longer known.
    registered_from: bytes | None
    #: Whether the account is new, and none of its sessions was ever revoked with all others. Without logins, the next
    #: login is then the first one.
    is_new: bool


#: As text, which is the same for all databases. SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
_COUNT: Final = (
    text(
        """
        INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
        VALUES (:key, 1, :now, NULL, :false, :expires_at)
        ON CONFLICT (key) DO UPDATE SET
            failures = CASE WHEN throttles.expires_at <= :now THEN 1 ELSE throttles.failures + 1 END,
            started_at = CASE WHEN throttles.expires_at <= :now THEN :now ELSE throttles.started_at END,
            expires_at = CASE WHEN throttles.expires_at <= :now OR :restarts_window
                              THEN :expires_at ELSE throttles.expires_at END
        WHERE throttles.expires_at <= :now
           OR (throttles.failures < :max_failures
               AND (:exempt_from_lockouts OR throttles.locked_until IS NULL OR throttles.locked_until <= :now))
        RETURNING key, failures, started_at, locked_until, refusal_recorded, expires_at
        """
    )
    .bindparams(
        bindparam("key", type_=throttles.c.key.type),
        bindparam("now", type_=UtcDateTime()),
        bindparam("expires_at", type_=UtcDateTime()),
        bindparam("restarts_window", type_=Boolean()),
        bindparam("exempt_from_lockouts", type_=Boolean()),
        bindparam("false", value=False, type_=Boolean()),
        bindparam("max_failures", type_=Integer()),
    )
    .columns(*throttles.c)
)
_SELECT: Final = select(throttles).where(throttles.c.key.in_(bindparam("keys", expanding=True)))
_LOCK: Final = (
    update(throttles)
    .where(throttles.c.key == bindparam("of"))
    .values(locked_until=bindparam("until"), refusal_recorded=False, expires_at=bindparam("ends"))
)
_SUBTRACT: Final = (
    update(throttles)
    .where(
        throttles.c.key == bindparam("of"),
        throttles.c.started_at == bindparam("since"),
        throttles.c.failures > 0,
    )
    .values(failures=throttles.c.failures - 1)
)
_SUBTRACT_AND_UNLOCK: Final = _SUBTRACT.values(
    locked_until=case((throttles.c.locked_until == bindparam("until"), None), else_=throttles.c.locked_until)
)
_MOVE: Final = text(
    """
    INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
    SELECT :new, failures, started_at, locked_until, refusal_recorded, expires_at FROM throttles WHERE key = :old
    ON CONFLICT (key) DO UPDATE SET
        failures = excluded.failures, started_at = excluded.started_at, locked_until = excluded.locked_until,
        refusal_recorded = excluded.refusal_recorded, expires_at = excluded.expires_at
    """
).bindparams(bindparam("new", type_=throttles.c.key.type), bindparam("old", type_=throttles.c.key.type))
_DELETE: Final = delete(throttles).where(throttles.c.key == bindparam("of"))
_KNOWN_IP_COLUMNS: Final = (
    *(users.c.id, users.c.status, users.c.created_at, users.c.token_version),
    *(users.c.registered_from, users.c.known_ip_since, users.c.known_ip_version),
)
#: A user, and client IP and User-Agent of their logins. Logins before the last revocation of all sessions are left out.
_SELECT_KNOWN_CLIENTS: Final = (
    select(*_KNOWN_IP_COLUMNS, sessions.c.source_ip, sessions.c.user_agent)
    .select_from(
        users.outerjoin(
            sessions,
            and_(
                sessions.c.user_id == users.c.id,
                sessions.c.token_version == users.c.token_version,
                sessions.c.auth_time > bindparam("since"),
            ),
        )
    )
    .where(users.c.email == bindparam("email"))
    .group_by(*_KNOWN_IP_COLUMNS, sessions.c.source_ip, sessions.c.user_agent)
    .order_by(func.max(sessions.c.auth_time).desc())
    .limit(bindparam("rows", type_=Integer()))
)


def select_throttles(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Throttle]:
    """Return the counters that exist, by key."""
    rows = connection.execute(_SELECT, {"keys": keys}).mappings()
    return {row["key"]: Throttle(**row) for row in rows}


def count_attempt(
    connection: Connection,
    key: bytes,
    *,
    now: datetime,
    expires_at: datetime,
    restarts_window: bool,
    exempt_from_lockouts: bool,
    max_failures: int,
) -> Throttle | None:
    """Count an attempt and return the counter. Return None, without counting, if the counter is locked.

    Args:
        connection: to write with. Other transactions wait for the counter until this one ends.
        key: the counter.
        now: the time.
        expires_at: when a window that begins now ends.
        restarts_window: whether this attempt begins the window of an existing counter again.
        exempt_from_lockouts: whether to count the attempt during a lockout, unless ``max_failures`` is reached.
        max_failures: the number of failures at which no attempt is counted.

    """
    parameters = {
        "key": key,
        "now": now,
        "expires_at": expires_at,
        "restarts_window": restarts_window,
        "exempt_from_lockouts": exempt_from_lockouts,
        "max_failures": max_failures,
    }
    row = connection.execute(_COUNT, parameters).mappings().one_or_none()
    return Throttle(**row) if row else None


def begin_lockout(connection: Connection, throttle: Throttle, *, until: datetime) -> None:
    """Lock a counter until ``until``."""
    ends = max(until, throttle.expires_at)
    connection.execute(_LOCK, {"of": throttle.key, "until": until, "ends": ends})


def subtract_attempt(
    connection: Connection, key: bytes, *, started_at: datetime, locked_until: datetime | None
) -> None:
    """Subtract an attempt from the count that began at ``started_at``, and end the lockout that the attempt began."""
    same_count = {"of": key, "since": started_at}
    if locked_until is None:
        connection.execute(_SUBTRACT, same_count)
    else:
        connection.execute(_SUBTRACT_AND_UNLOCK, same_count | {"until": locked_until})


def mark_rejection_recorded(connection: Connection, key: bytes) -> bool:
    """Mark that a rejection of this lockout is recorded. Return False if another request has marked it first."""
    unmarked = update(throttles).where(throttles.c.key == key, throttles.c.refusal_recorded.is_(False))
    return connection.execute(unmarked.values(refusal_recorded=True)).rowcount == 1


def select_known_clients(connection: Connection, *, email: str, since: datetime, limit: int) -> KnownClients:
    """Return the client IPs and User-Agents that the account with this e-mail address is known to use.

    Args:
        connection: to read with.
        email: normalised.
        since: earlier logins, and an earlier registration or password reset, are left out.
        limit: the maximum number of pairs of client IP and User-Agent.

    """
    rows = connection.execute(_SELECT_KNOWN_CLIENTS, {"email": email, "since": since, "rows": limit}).all()
    if not rows:
        return KnownClients(None, [], None, is_new=False)
    user = rows[0]
    # A change that revokes all sessions raises the version. The client IP of the registration or of the last password
    # reset is then unknown too.
    is_current = user.token_version == (user.known_ip_version or 0)
    # Before its verification, an account must not look different to the client that may have registered it.
    is_current &= user.status != "unverified"
    is_known = is_current and (user.known_ip_since or user.created_at) > since
    # An account without logins has one row, without a session.
    logins = [(row.source_ip, row.user_agent) for row in rows if row.source_ip is not None]
    is_new = user.token_version == 0 and user.created_at > since
    return KnownClients(user.id, logins, user.registered_from if is_known else None, is_new=is_new)


def delete_throttle(connection: Connection, key: bytes) -> int:
    """Delete a counter. Return 1, or 0 if it does not exist."""
    return connection.execute(_DELETE, {"of": key}).rowcount


def move_throttle(connection: Connection, *, old: bytes, new: bytes) -> None:
    """Move a counter, if it exists, to another key. It replaces the counter of that key."""
    connection.execute(_MOVE, {"old": old, "new": new})
    delete_throttle(connection, old)


def delete_expired_throttles(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` counters that expired before ``expired_before``. Return how many."""
    expired = select(throttles.c.key).where(throttles.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(throttles).where(throttles.c.key.in_(expired))).rowcount

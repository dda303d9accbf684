"""The table of throttles: counters that a burst of parallel attempts cannot outrun.

An attempt is counted by one statement that also looks at the lock, so that of two attempts at once the second sees what
the first has made of the counter: SQLite has one writer, PostgreSQL lets the second wait for the row, and Aurora DSQL
lets one of the two run again.
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
    """A counter."""

    key: bytes
    failures: int
    started_at: datetime
    locked_until: datetime | None
    refusal_recorded: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KnownSources:
    """The client IPs that an account is known to use."""

    #: None if no account has the address.
    user_id: UUID | None
    #: Client IPs of logins, the newest first.
    addresses: list[str]
    #: Keyed hash of the client IP of the registration. None if it no longer counts.
    registered_from: bytes | None


#: As text, because SQLAlchemy's INSERT ... ON CONFLICT is another one for each database, and this is the same for all.
#: ``exempt`` attempts pass a lock, but not the ceiling.
_COUNT: Final = (
    text(
        """
        INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
        VALUES (:key, 1, :now, NULL, :false, :expires_at)
        ON CONFLICT (key) DO UPDATE SET
            failures = CASE WHEN throttles.expires_at <= :now THEN 1 ELSE throttles.failures + 1 END,
            started_at = CASE WHEN throttles.expires_at <= :now THEN :now ELSE throttles.started_at END,
            expires_at = CASE WHEN throttles.expires_at <= :now OR :slides
                              THEN :expires_at ELSE throttles.expires_at END
        WHERE throttles.expires_at <= :now
           OR (throttles.failures < :ceiling
               AND (:exempt OR throttles.locked_until IS NULL OR throttles.locked_until <= :now))
        RETURNING key, failures, started_at, locked_until, refusal_recorded, expires_at
        """
    )
    .bindparams(
        bindparam("key", type_=throttles.c.key.type),
        bindparam("now", type_=UtcDateTime()),
        bindparam("expires_at", type_=UtcDateTime()),
        bindparam("slides", type_=Boolean()),
        bindparam("exempt", type_=Boolean()),
        bindparam("false", value=False, type_=Boolean()),
        bindparam("ceiling", type_=Integer()),
    )
    .columns(*throttles.c)
)
_SELECT: Final = select(throttles).where(throttles.c.key.in_(bindparam("keys", expanding=True)))
_LOCK: Final = (
    update(throttles)
    .where(throttles.c.key == bindparam("of"))
    .values(locked_until=bindparam("until"), refusal_recorded=False, expires_at=bindparam("ends"))
)
_GIVE_BACK: Final = (
    update(throttles)
    .where(
        throttles.c.key == bindparam("of"),
        throttles.c.started_at == bindparam("since"),
        throttles.c.failures > 0,
    )
    .values(failures=throttles.c.failures - 1)
)
_GIVE_BACK_AND_UNLOCK: Final = _GIVE_BACK.values(
    locked_until=case((throttles.c.locked_until == bindparam("until"), None), else_=throttles.c.locked_until)
)
_DELETE: Final = delete(throttles).where(throttles.c.key == bindparam("of"))
#: What a registration has stored.
_OWNER: Final = (users.c.id, users.c.created_at, users.c.token_version, users.c.registered_from)
#: A user, and where they have logged in from: sessions from before all of theirs were ended do not count.
_SELECT_KNOWN_SOURCES: Final = (
    select(*_OWNER, sessions.c.source_ip)
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
    .group_by(*_OWNER, sessions.c.source_ip)
    .order_by(func.max(sessions.c.auth_time).desc())
    .limit(bindparam("rows", type_=Integer()))
)


def select_throttles(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Throttle]:
    """Return those counters that there are."""
    rows = connection.execute(_SELECT, {"keys": keys}).mappings()
    return {row["key"]: Throttle(**row) for row in rows}


def count_attempt(
    connection: Connection,
    key: bytes,
    *,
    now: datetime,
    expires_at: datetime,
    slides: bool,
    exempt: bool,
    ceiling: int,
) -> Throttle | None:
    """Count an attempt and return the counter; ``None``: it is locked, and nothing was counted.

    Args:
        connection: to write with; the counter stays locked for others until its transaction ends.
        key: which counter.
        now: the time.
        expires_at: when the count begins anew.
        slides: whether that holds for a counter that runs already, too.
        exempt: whether a lock does not matter.
        ceiling: the number of failures that always matters.

    """
    parameters = {"key": key, "now": now, "expires_at": expires_at, "slides": slides}
    row = connection.execute(_COUNT, parameters | {"exempt": exempt, "ceiling": ceiling}).mappings().one_or_none()
    return Throttle(**row) if row else None


def lock(connection: Connection, throttle: Throttle, *, until: datetime) -> None:
    """Let nobody try before ``until``."""
    ends = max(until, throttle.expires_at)
    connection.execute(_LOCK, {"of": throttle.key, "until": until, "ends": ends})


def give_back(connection: Connection, key: bytes, *, started_at: datetime, locked_until: datetime | None) -> None:
    """Take back an attempt that was counted since ``started_at``, and the lock that it began."""
    same_count = {"of": key, "since": started_at}
    if locked_until is None:
        connection.execute(_GIVE_BACK, same_count)
    else:
        connection.execute(_GIVE_BACK_AND_UNLOCK, same_count | {"until": locked_until})


def mark_refusal(connection: Connection, key: bytes) -> bool:
    """Mark that a refusal of this lock has been recorded; ``False`` where one was before. Of many at once, one wins."""
    unmarked = update(throttles).where(throttles.c.key == key, throttles.c.refusal_recorded.is_(False))
    return connection.execute(unmarked.values(refusal_recorded=True)).rowcount == 1


def select_known_sources(connection: Connection, *, email: str, since: datetime, limit: int) -> KnownSources:
    """Return the client IPs that the account with this address is known to use.

    Args:
        connection: to read with.
        email: normalised.
        since: earlier logins, and an earlier registration, do not count.
        limit: client IPs of logins, at most.

    """
    rows = connection.execute(_SELECT_KNOWN_SOURCES, {"email": email, "since": since, "rows": limit}).all()
    if not rows:
        return KnownSources(None, [], None)
    owner = rows[0]
    # A change that revokes all sessions raises the version. The client IP of the registration counts like theirs.
    counts = owner.token_version == 0 and owner.created_at > since
    addresses = [row.source_ip for row in rows if row.source_ip]
    return KnownSources(owner.id, addresses, owner.registered_from if counts else None)


def delete_throttle(connection: Connection, key: bytes) -> int:
    """Begin a count anew; return whether there was one, as 0 or 1."""
    return connection.execute(_DELETE, {"of": key}).rowcount


def delete_expired_throttles(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` counters that expired before then; return how many."""
    expired = select(throttles.c.key).where(throttles.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(throttles).where(throttles.c.key.in_(expired))).rowcount

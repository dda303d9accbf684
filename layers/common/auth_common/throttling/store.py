"""The table of throttles: counters that a burst of concurrent attempts cannot exceed.

One statement checks lockouts, counts the attempt and begins lockouts. So the second of two concurrent attempts sees the
count and the lockout of the first. SQLite has one writer, PostgreSQL makes the second one wait for the row, and
Aurora DSQL makes one of them retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Integer, bindparam, case, delete, func, select, text, true, update

from auth_common.database.pipeline import write_later
from auth_common.database.tables import sessions, throttles, users
from auth_common.throttling.count_statement import CountedLimit, count_statement
from auth_common.throttling.limits import Limit, lockout_lengths
from auth_common.users.store import CREDENTIALS_COLUMNS, Credentials, credentials_of


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
class CountedAttempt:
    """An attempt in one counter."""

    limit: Limit
    started_at: datetime
    #: The end of the lockout that the attempt has begun.
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class KnownClients:
    """An account with the client IPs and User-Agents that it is known to use."""

    #: None if no account has the address.
    credentials: Credentials | None
    #: Client IP and User-Agent of logins as they were stored, the newest first.
    logins: list[tuple[str, str]]
    #: Keyed hash of the client IP of the registration or the last password reset. None if it is no longer known.
    registered_from: bytes | None
    #: Whether the account is new, and none of its sessions was ever revoked with all others. Without logins, the next
    #: login is then the first one.
    is_new: bool

    @property
    def user_id(self) -> UUID | None:
        """The id of the account. None if no account has the address."""
        return self.credentials.user.id if self.credentials else None


_SELECT: Final = select(throttles).where(throttles.c.key.in_(bindparam("keys", expanding=True)))
_SUBTRACT: Final = (
    update(throttles)
    .where(
        throttles.c.key == bindparam("of"),
        throttles.c.started_at == bindparam("since"),
        throttles.c.failures > 0,
    )
    .values(
        failures=throttles.c.failures - 1,
        locked_until=case((throttles.c.locked_until == bindparam("until"), None), else_=throttles.c.locked_until),
    )
)
#: A single counter, unlike ``_DELETE``, which locks the rows in an order that the database chooses.
_RESET: Final = delete(throttles).where(throttles.c.key == bindparam("of"))
_MOVE: Final = text(
    """
    INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
    SELECT :new, failures, started_at, locked_until, refusal_recorded, expires_at FROM throttles WHERE key = :old
    ON CONFLICT (key) DO UPDATE SET
        failures = excluded.failures, started_at = excluded.started_at, locked_until = excluded.locked_until,
        refusal_recorded = excluded.refusal_recorded, expires_at = excluded.expires_at
    """
).bindparams(bindparam("new", type_=throttles.c.key.type), bindparam("old", type_=throttles.c.key.type))
_DELETE: Final = delete(throttles).where(throttles.c.key.in_(bindparam("keys", expanding=True)))
_KNOWN_IP_COLUMNS: Final = (users.c.registered_from, users.c.known_ip_since, users.c.known_ip_version)
#: Client IP and User-Agent of a user's logins. Logins before the last revocation of all sessions are left out. They are
#: grouped before they are joined, because a user may have hundreds of sessions, and each would be sorted with the
#: columns of the user.
_LOGINS: Final = (
    select(sessions.c.source_ip, sessions.c.user_agent, func.max(sessions.c.auth_time).label("last_login"))
    .select_from(users.join(sessions))
    .where(
        users.c.email == bindparam("email"),
        sessions.c.token_version == users.c.token_version,
        sessions.c.auth_time > bindparam("since"),
    )
    .group_by(sessions.c.source_ip, sessions.c.user_agent)
    .subquery("logins")
)
#: A user with their logins. A user without logins has one row.
_SELECT_KNOWN_CLIENTS: Final = (
    select(*CREDENTIALS_COLUMNS, *_KNOWN_IP_COLUMNS, _LOGINS.c.source_ip, _LOGINS.c.user_agent)
    .select_from(users.outerjoin(_LOGINS, true()))
    .where(users.c.email == bindparam("email"))
    .order_by(_LOGINS.c.last_login.desc())
    .limit(bindparam("rows", type_=Integer()))
)


def select_throttles(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Throttle]:
    """Return the counters that exist, by key."""
    rows = connection.execute(_SELECT, {"keys": keys}).mappings()
    return {row["key"]: Throttle(**row) for row in rows}


def count_attempts(connection: Connection, *groups: Sequence[Limit], now: datetime) -> dict[bytes, Throttle]:
    """Count an attempt in each group of limits of which none is locked. Return the counters in which it is counted.

    A lockout that begins during the statement keeps the attempt from being counted in its own counter only. During a
    lockout, the statement writes nothing and waits for no row. The attempt begins the lockouts of
    ``Limit.lockout_after``.

    All attempts lock the rows in the order of their keys. Otherwise two that share two counters could wait for each
    other.

    Args:
        connection: to write with.
        groups: the limits, each with another key.
        now: the time.

    """
    lengths = lockout_lengths()
    parameters: dict[str, Any] = {"now": now}
    parameters |= {f"lockout_{number}": now + length for number, length in enumerate(lengths)}
    counted: list[CountedLimit] = []
    for group_number, group in enumerate(groups):
        for limit in group:
            number, first_lockout = len(counted), limit.lockout_after(1)
            parameters |= {f"key_{number}": limit.key, f"window_ends_{number}": now + limit.window}
            if first_lockout:
                parameters[f"locked_until_{number}"] = now + first_lockout
            counted.append(
                CountedLimit(
                    group_number=group_number,
                    restarts_window=limit.is_in_a_row,
                    is_exempt=limit.exempt_from_lockouts,
                    quota=limit.quota,
                    max_failures=limit.max_failures,
                    locks_at_once=first_lockout is not None,
                )
            )
    rows = connection.execute(count_statement(tuple(counted), len(lengths)), parameters).mappings()
    return {row["key"]: Throttle(**row) for row in rows}


def give_back_attempts(
    connection: Connection, attempts: Sequence[CountedAttempt], *, resets_failures_in_a_row: bool
) -> None:
    """Subtract attempts from their counters, and end the lockouts that they have begun.

    An attempt is subtracted only from the count in which it was counted: since then, the counter may have been reset.

    Args:
        connection: to write with, in a transaction.
        attempts: each in another counter. The rows are locked in the order of ``count_attempts``.
        resets_failures_in_a_row: whether to reset the counters of failures in a row, because an attempt has succeeded.

    """
    in_lock_order = sorted(attempts, key=lambda attempt: attempt.limit.key)
    for is_reset, group in groupby(in_lock_order, lambda each: resets_failures_in_a_row and each.limit.is_in_a_row):
        if is_reset:
            write_later(connection, _RESET, [{"of": each.limit.key} for each in group])
        else:
            rows = [{"of": each.limit.key, "since": each.started_at, "until": each.locked_until} for each in group]
            write_later(connection, _SUBTRACT, rows)


def mark_rejection_recorded(connection: Connection, key: bytes) -> bool:
    """Mark that a rejection of this lockout is recorded. Return False if another request has marked it first."""
    unmarked = update(throttles).where(throttles.c.key == key, throttles.c.refusal_recorded.is_(False))
    return connection.execute(unmarked.values(refusal_recorded=True)).rowcount == 1


def select_known_clients(connection: Connection, *, email: str, since: datetime, limit: int) -> KnownClients:
    """Return the account with this e-mail address, and the client IPs and User-Agents that it is known to use.

    Args:
        connection: to read with.
        email: normalised.
        since: earlier logins, and an earlier registration or password reset, are left out.
        limit: the maximum number of pairs of client IP and User-Agent.

    """
    rows = connection.execute(_SELECT_KNOWN_CLIENTS, {"email": email, "since": since, "rows": limit}).all()
    if not rows:
        return KnownClients(None, [], None, is_new=False)
    *columns, registered_from, known_ip_since, known_ip_version, _, _ = rows[0]
    credentials = credentials_of(columns)
    user = credentials.user
    # A change that revokes all sessions raises the version. The client IP of the registration or of the last password
    # reset is then unknown too.
    is_current = user.token_version == (known_ip_version or 0)
    # Before its verification, an account must not look different to the client that may have registered it.
    is_current &= user.status != "unverified"
    is_known = is_current and (known_ip_since or user.created_at) > since
    # An account without logins has one row, without a session.
    logins = [(row.source_ip, row.user_agent) for row in rows if row.source_ip is not None]
    is_new = user.token_version == 0 and user.created_at > since
    return KnownClients(credentials, logins, registered_from if is_known else None, is_new=is_new)


def reset_throttles(connection: Connection, keys: Sequence[bytes]) -> None:
    """Delete counters."""
    write_later(connection, _DELETE, {"keys": keys})


def delete_throttles(connection: Connection, keys: Sequence[bytes]) -> int:
    """Delete counters. Return how many existed."""
    return connection.execute(_DELETE, {"keys": keys}).rowcount


def move_throttle(connection: Connection, *, old: bytes, new: bytes) -> None:
    """Move a counter, if it exists, to another key. It replaces the counter of that key."""
    write_later(connection, _MOVE, {"old": old, "new": new})
    reset_throttles(connection, [old])


def delete_expired_throttles(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` counters that expired before ``expired_before``. Return how many."""
    is_expired = throttles.c.expires_at < expired_before
    expired = select(throttles.c.key).where(is_expired).limit(limit)
    # The condition is repeated, because an attempt may have replaced the counter since it was chosen.
    return connection.execute(delete(throttles).where(throttles.c.key.in_(expired), is_expired)).rowcount

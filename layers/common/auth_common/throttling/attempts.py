"""Attempts that are counted before they are made, and refused while a lock lasts.

An attempt counts as a failure from its beginning, in a transaction of its own: forty at once cannot get more than the
budget has. Whoever turns out to be right gets it back. During a lock nothing is counted and nothing is computed.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.errors import DatabaseUnavailable, ServiceError, TooManyAttempts
from auth_common.events import metrics
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.throttling import store
from auth_common.throttling.limits import Limit
from auth_common.throttling.store import Throttle
from auth_common.transactions import read, transaction

#: Past by every clock. When the count began is not: the environment that began it may be a little ahead of ours.
_NO_LOCK: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom it is about, for security events: a user, or the pseudonym of an address without one."""

    user_id: UUID | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class _Counted:
    """An attempt in one counter."""

    limit: Limit
    started_at: datetime
    #: The lock that it has begun.
    locked_until: datetime | None


class _Locked(Exception):
    """A lock began between the look and the count."""

    def __init__(self, limit: Limit, throttle: Throttle) -> None:
        super().__init__(limit.name)
        self.limit = limit
        self.throttle = throttle


class Attempt:
    """An attempt that is under way, counted as a failure until it turns out to be none."""

    def __init__(self, subject: Subject) -> None:
        """Begin with nothing counted."""
        self._subject = subject
        self._counted: list[_Counted] = []

    def count(self, *counters: Limit) -> None:
        """Count this attempt.

        Raises:
            TooManyAttempts: one of the counters is locked; none has counted.

        """
        refuse_if_locked(counters, self._subject)
        try:
            self._counted += transaction(lambda connection: _count(connection, counters))
        except _Locked as locked:
            _refuse(locked.limit, locked.throttle, self._subject)

    def succeed(self, connection: Connection) -> None:
        """Stop counting the attempt as a failure, and reset what was counted in a row.

        Call it in the transaction of the success.
        """
        for counted in self._counted:
            if counted.limit.in_a_row:
                store.delete_throttle(connection, counted.limit.key)
            else:
                _give_back(connection, counted)

    def give_back(self) -> None:
        """Take it back: it was no failure of the caller's, but ours, or another lock ended it."""
        # If the database is away, it stays counted: the safe side, and nothing that a caller could bring about.
        with suppress(DatabaseUnavailable):
            transaction(self._give_all_back)

    def fail(self) -> None:
        """Leave it counted, and record the locks that it has begun."""
        now = datetime.now(UTC)
        for counted in self._counted:
            if counted.limit.of_login and counted.locked_until:
                security_event(
                    SecurityEvent.AUTHN_LOGIN_LOCK,
                    user_id=self._subject.user_id,
                    reason=counted.limit.name,
                    account=self._subject.account,
                    locked_for=_seconds(counted.locked_until - now),
                )

    def _give_all_back(self, connection: Connection) -> None:
        for counted in self._counted:
            _give_back(connection, counted)


@contextmanager
def counted_attempt(
    subject: Subject, counters: Sequence[Limit], *, failures: tuple[type[ServiceError], ...]
) -> Iterator[Attempt]:
    """Count an attempt; ``failures`` leave it counted, any other exception takes it back.

    Raises:
        TooManyAttempts: one of the counters is locked.

    """
    attempt = Attempt(subject)
    attempt.count(*counters)
    try:
        yield attempt
    except failures:
        attempt.fail()
        raise
    except BaseException:
        attempt.give_back()
        raise


def refuse_if_locked(counters: Sequence[Limit], subject: Subject) -> None:
    """Look at the locks, without counting.

    Raises:
        TooManyAttempts: one of the counters is locked.

    """
    # Reading only: a flood during a lock writes nothing, and waits for nobody who does.
    found = read(lambda connection: store.select_throttles(connection, [limit.key for limit in counters]))
    now = datetime.now(UTC)
    for limit in counters:
        throttle = found.get(limit.key)
        if throttle and _locked_until(limit, throttle) > now:
            _refuse(limit, throttle, subject)


def _count(connection: Connection, counters: Sequence[Limit]) -> list[_Counted]:
    # Everybody in one order: two attempts that share two counters must not wait for each other.
    return [_count_one(connection, limit) for limit in sorted(counters, key=lambda limit: limit.key)]


def _count_one(connection: Connection, limit: Limit) -> _Counted:
    now = datetime.now(UTC)
    throttle = store.count_attempt(
        connection,
        limit.key,
        now=now,
        expires_at=now + limit.window,
        slides=limit.in_a_row,
        exempt=limit.exempt,
        ceiling=limit.ceiling,
    )
    if throttle is None:
        raise _Locked(limit, store.select_throttles(connection, [limit.key])[limit.key])
    lock = limit.lock_after(throttle.failures)
    if lock is None:
        return _Counted(limit, throttle.started_at, None)
    store.lock(connection, throttle, until=now + lock)
    return _Counted(limit, throttle.started_at, now + lock)


def _give_back(connection: Connection, counted: _Counted) -> None:
    store.give_back(connection, counted.limit.key, started_at=counted.started_at, locked_until=counted.locked_until)


def _locked_until(limit: Limit, throttle: Throttle) -> datetime:
    if throttle.failures >= limit.ceiling:
        return throttle.expires_at
    return (None if limit.exempt else throttle.locked_until) or _NO_LOCK


def _refuse(limit: Limit, throttle: Throttle, subject: Subject) -> None:
    """Record the first refusal of a lock, count and log the others, and raise."""
    retry_after = _seconds(_locked_until(limit, throttle) - datetime.now(UTC))

    def record(connection: Connection) -> bool:
        is_first = store.mark_refusal(connection, limit.key)
        if is_first:
            security_event(
                SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED,
                user_id=subject.user_id,
                reason=limit.name,
                account=subject.account,
            )
        return is_first

    if throttle.refusal_recorded or not transaction(record):
        metrics.count(SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED)
        logger.info("attempt refused", extra={"limit": limit.name, "retry_after": retry_after})
    raise TooManyAttempts(
        limit=limit.name, quota=limit.budget, window=int(limit.window.total_seconds()), retry_after=retry_after
    )


def _seconds(duration: timedelta) -> int:
    return max(1, math.ceil(duration.total_seconds()))

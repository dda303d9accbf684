"""Attempts: counted before their work is done, and rejected during a lockout.

An attempt is counted as a failure from its beginning, and committed before its work, so concurrent attempts cannot
exceed a limit. If the attempt succeeds, it is subtracted again. During a lockout nothing is counted and no password is
hashed.
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
from auth_common.throttling.store import CountedAttempt, Throttle
from auth_common.transactions import read, single_statement, transaction

#: Past by every clock. ``started_at`` is not: the clock of the environment that stored it may be ahead of this one.
_NO_LOCKOUT: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AttemptedAccount:
    """The account that an attempt is for, as security events name it. Both are None if it is for no known account."""

    user_id: UUID | None = None
    #: The keyed hash of an e-mail address that has no account.
    pseudonym: str | None = None


class Attempt:
    """An attempt that is counted as a failure until ``succeed`` or ``cancel`` is called."""

    def __init__(self, account: AttemptedAccount, *, is_login: bool = False) -> None:
        """Create an attempt that is not counted yet.

        Args:
            account: the account for security events.
            is_login: whether a lockout that the attempt begins is a security event, because it stops logins.

        """
        self._account = account
        self._is_login = is_login
        self._counted: list[CountedAttempt] = []

    def has_begun_lockout(self, *names: str) -> bool:
        """Return whether this attempt, if it fails, begins a lockout of one of these limits."""
        return any(counted.locked_until and counted.limit.name in names for counted in self._counted)

    def count(self, *limits: Limit) -> None:
        """Count the attempt as a failure, and commit it.

        One statement counts it in all limits, or in none if one is locked. If a lockout begins during the statement,
        the attempt is subtracted from the other limits, and is rejected. If the database becomes unavailable before
        that, or the environment ends, the attempt stays counted in the others, which is the safe side.

        Raises:
            TooManyAttempts: one of the limits is locked. The attempt is not counted in any of them.

        """
        while self._count(limits):
            # It rejects the attempt, unless the lockout has ended meanwhile.
            require_unlocked(limits, self._account)

    def count_silently(self, *groups: Sequence[Limit]) -> bool:
        """Count the attempt in each group of limits of which none is locked. Return whether none is in any group.

        Each group is counted even if another one is locked. Otherwise the counter of a client IP would show whether an
        address is locked. For the same reason, a rejection is not recorded: that would take further round trips. The
        log line names the account and the limits of the group. Which of them is locked is not known.
        """
        rejected = self._count(*groups)
        for group in rejected:
            names = " or ".join(limit.name for limit in group)
            _log_rejection(names, user_id=self._account.user_id, account=self._account.pseudonym)
        return not rejected

    def succeed(self, connection: Connection) -> None:
        """Subtract the attempt from its limits, and reset those of failures in a row.

        Call it in the transaction of the success.
        """
        store.give_back_attempts(connection, self._counted, resets_failures_in_a_row=True)

    def cancel(self, *, may_have_succeeded: bool = False) -> None:
        """Subtract the attempt from its limits, because it ended without a failure of the caller.

        Args:
            may_have_succeeded: whether the transaction of ``succeed`` may be committed. The attempt is then subtracted
                only if a limit of failures in a row still has it. Twice subtracted, it would take away another one.

        """

        def subtract(connection: Connection) -> None:
            if not may_have_succeeded or self._is_counted_in_a_row(connection):
                _give_back(connection, self._counted)

        # Without a database the attempt stays counted, which is the safe side. No caller can bring that about.
        with suppress(DatabaseUnavailable):
            transaction(subtract)

    def fail(self) -> None:
        """Keep the attempt counted, and record the lockouts that it has begun."""
        if not self._is_login:
            return
        now = datetime.now(UTC)
        for counted in self._counted:
            if counted.locked_until:
                security_event(
                    SecurityEvent.AUTHN_LOGIN_LOCK,
                    user_id=self._account.user_id,
                    reason=counted.limit.name,
                    account=self._account.pseudonym,
                    locked_for=_seconds(counted.locked_until - now),
                )

    def _is_counted_in_a_row(self, connection: Connection) -> bool:
        """Return whether a limit of failures in a row has the attempt, so that no success has reset it."""
        started_at = {each.limit.key: each.started_at for each in self._counted if each.limit.is_in_a_row}
        found = store.select_throttles(connection, list(started_at))
        return any(throttle.started_at == started_at[key] for key, throttle in found.items())

    def _count(self, *groups: Sequence[Limit]) -> list[Sequence[Limit]]:
        """Count the attempt in each group of which no limit is locked. Return the other groups."""
        throttles = single_statement(lambda c: store.count_attempts(c, *groups, now=datetime.now(UTC)))
        rejected, too_many = list[Sequence[Limit]](), list[CountedAttempt]()
        for group in groups:
            counted = [_counted_in(limit, throttles[limit.key]) for limit in group if limit.key in throttles]
            if len(counted) == len(group):
                self._counted += counted
            else:
                rejected.append(group)
                too_many += counted
        if too_many:
            transaction(lambda connection: _give_back(connection, too_many))
        return rejected


@contextmanager
def counted_attempt(
    account: AttemptedAccount,
    limits: Sequence[Limit],
    *,
    failures: tuple[type[ServiceError], ...],
    is_login: bool = False,
) -> Iterator[Attempt]:
    """Count an attempt, and run the block. The block calls ``succeed``.

    Args:
        account: the account for security events.
        limits: the limits in which the attempt is counted.
        failures: errors after which the attempt stays counted. Any other error cancels it.
        is_login: as in ``Attempt``.

    Raises:
        TooManyAttempts: one of the limits is locked.

    """
    attempt = Attempt(account, is_login=is_login)
    attempt.count(*limits)
    try:
        yield attempt
    except failures:
        attempt.fail()
        raise
    except BaseException as error:
        attempt.cancel(may_have_succeeded=isinstance(error, DatabaseUnavailable) and error.may_be_committed)
        raise


def require_unlocked(limits: Sequence[Limit], account: AttemptedAccount) -> None:
    """Require that no limit is locked, without counting anything.

    Raises:
        TooManyAttempts: one of the limits is locked.

    """
    found = read(lambda connection: store.select_throttles(connection, [limit.key for limit in limits]))
    now = datetime.now(UTC)
    for limit in limits:
        throttle = found.get(limit.key)
        if throttle and locked_until(limit, throttle) > now:
            _reject(limit, throttle, account)


def _counted_in(limit: Limit, throttle: Throttle) -> CountedAttempt:
    begins_lockout = limit.lockout_after(throttle.failures) is not None
    return CountedAttempt(limit, throttle.started_at, throttle.locked_until if begins_lockout else None)


def _give_back(connection: Connection, attempts: Sequence[CountedAttempt]) -> None:
    """Subtract attempts that were neither a success nor a failure."""
    store.give_back_attempts(connection, attempts, resets_failures_in_a_row=False)


def locked_until(limit: Limit, throttle: Throttle) -> datetime:
    """Return until when a limit rejects attempts. Return a past time if it does not."""
    if throttle.failures >= limit.max_failures:
        return throttle.expires_at
    return (None if limit.exempt_from_lockouts else throttle.locked_until) or _NO_LOCKOUT


def _reject(limit: Limit, throttle: Throttle, account: AttemptedAccount) -> None:
    """Record the first rejection of a lockout in the audit log, count and log the others, and raise."""
    retry_after = _seconds(locked_until(limit, throttle) - datetime.now(UTC))

    def record(connection: Connection) -> bool:
        is_first = store.mark_rejection_recorded(connection, limit.key)
        if is_first:
            security_event(
                SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED,
                user_id=account.user_id,
                reason=limit.name,
                account=account.pseudonym,
            )
        return is_first

    if throttle.refusal_recorded or not transaction(record):
        _log_rejection(limit.name, retry_after=retry_after)
    raise TooManyAttempts(
        limit=limit.name, quota=limit.quota, window=int(limit.window.total_seconds()), retry_after=retry_after
    )


def _log_rejection(limit: str, **further: int | str | UUID | None) -> None:
    """Count and log a rejection that the audit log does not record."""
    metrics.count(SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED)
    logger.info("attempt rejected", extra={"limit": limit, **further})


def _seconds(duration: timedelta) -> int:
    return max(1, math.ceil(duration.total_seconds()))

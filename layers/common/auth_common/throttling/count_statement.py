"""The statement that counts an attempt (``store.count_attempts``). Its text has numbers of the limits, and no value."""

from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.sql.selectable import TextualSelect

from auth_common.database.tables import UtcDateTime, throttles


class CountedLimit(NamedTuple):
    """What is the same for all attempts in a limit. It is in the text, because each parameter takes time."""

    group_number: int
    restarts_window: bool
    is_exempt: bool
    quota: int
    max_failures: int
    #: Whether the first attempt begins a lockout.
    locks_at_once: bool


@lru_cache
def count_statement(limits: tuple[CountedLimit, ...], lockouts: int) -> TextualSelect:
    """Return the statement that counts an attempt in several limits.

    It is text, which is the same for all databases: SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
    An expired counter is replaced by the row of a first attempt.

    Args:
        limits: each with the parameters ``key_0``, ``window_ends_0`` and so on. One that locks at once also has
            ``locked_until_0``.
        lockouts: how many lengths a lockout can have. Their ends are the parameters ``lockout_0`` and so on.

    """
    rows = [_row(number, limit) for number, limit in enumerate(limits)]
    ends = [f"WHEN {number} THEN :lockout_{number}" for number in range(lockouts)]
    is_free = """throttles.expires_at <= :now OR throttles.failures < max_failures
                 AND (is_exempt OR throttles.locked_until IS NULL OR throttles.locked_until <= :now)"""
    statement = f"""
        WITH limits (group_number, key, locked_until, window_ends, restarts_window, is_exempt, quota, max_failures)
                 AS (VALUES {", ".join(rows)}),
             locked AS (
                 SELECT group_number FROM limits JOIN throttles ON throttles.key = limits.key WHERE NOT ({is_free})
             )
        INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
        SELECT key, 1, :now, locked_until, FALSE,
               CASE WHEN locked_until > window_ends THEN locked_until ELSE window_ends END
        FROM limits WHERE group_number NOT IN (SELECT group_number FROM locked) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET (failures, started_at, locked_until, refusal_recorded, expires_at) = (
            SELECT excluded.failures, excluded.started_at, excluded.locked_until, excluded.refusal_recorded,
                   excluded.expires_at
            WHERE throttles.expires_at <= :now
            UNION ALL
            SELECT failures, throttles.started_at, COALESCE(lockout, throttles.locked_until),
                   throttles.refusal_recorded AND lockout IS NULL,
                   CASE WHEN lockout > expires_at THEN lockout ELSE expires_at END
            FROM (
                SELECT throttles.failures + 1 AS failures,
                       CASE WHEN restarts_window THEN window_ends ELSE throttles.expires_at END AS expires_at,
                       CASE WHEN throttles.failures + 1 >= max_failures THEN window_ends
                            WHEN is_exempt OR throttles.failures + 1 < quota THEN NULL
                            ELSE CASE throttles.failures + 1 - quota {" ".join(ends)} ELSE :lockout_{lockouts - 1} END
                       END AS lockout
                FROM limits WHERE limits.key = throttles.key AND throttles.expires_at > :now
            ) AS counted
        )
        WHERE (SELECT {is_free} FROM limits WHERE limits.key = throttles.key)
        RETURNING key, failures, started_at, locked_until, refusal_recorded, expires_at
    """  # noqa: S608 - the text has only the names above, and numbers
    times = ["now", *(f"lockout_{number}" for number in range(lockouts))]
    for number, limit in enumerate(limits):
        times += [f"window_ends_{number}", *([f"locked_until_{number}"] if limit.locks_at_once else [])]
    parameters = [bindparam(name, type_=UtcDateTime()) for name in times]
    parameters += [bindparam(f"key_{number}", type_=throttles.c.key.type) for number in range(len(limits))]
    return text(statement).bindparams(*parameters).columns(*throttles.c)


def _row(number: int, limit: CountedLimit) -> str:
    """Return a limit as a row of VALUES."""
    locked_until = f":locked_until_{number}" if limit.locks_at_once else "CAST(NULL AS TIMESTAMPTZ)"
    return (
        f"({limit.group_number:d}, :key_{number}, {locked_until}, :window_ends_{number}, "
        f"{limit.restarts_window!r}, {limit.is_exempt!r}, {limit.quota:d}, {limit.max_failures:d})"
    )

"""The statement that counts an attempt (``store.count_attempts``). Its text depends on two numbers only."""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Boolean, Integer, bindparam, text
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.types import TypeEngine

from auth_common.database.tables import UtcDateTime, throttles

#: What the statement that counts must know of a limit, with the types of the parameters.
_LIMIT_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "group_number": Integer(),
    "key": throttles.c.key.type,
    "locked_until": UtcDateTime(),
    "window_ends": UtcDateTime(),
    "restarts_window": Boolean(),
    "is_exempt": Boolean(),
    "quota": Integer(),
    "max_failures": Integer(),
}


@lru_cache
def count_statement(limits: int, lockouts: int) -> TextualSelect:
    """Return the statement that counts an attempt in several limits.

    It is text, which is the same for all databases: SQLAlchemy has a different INSERT ... ON CONFLICT for each of them.
    An expired counter is replaced by the row of a first attempt.

    Args:
        limits: how many.
        lockouts: how many lengths a lockout can have.

    """
    rows = [", ".join(f":{name}_{number}" for name in _LIMIT_TYPES) for number in range(limits)]
    ends = [f"WHEN {number} THEN :lockout_{number}" for number in range(lockouts)]
    is_free = """throttles.expires_at <= :now OR throttles.failures < max_failures
                 AND (is_exempt OR throttles.locked_until IS NULL OR throttles.locked_until <= :now)"""
    statement = f"""
        WITH limits ({", ".join(_LIMIT_TYPES)}) AS (VALUES {", ".join(f"({row})" for row in rows)}),
             locked AS (
                 SELECT group_number FROM limits JOIN throttles ON throttles.key = limits.key WHERE NOT ({is_free})
             )
        INSERT INTO throttles (key, failures, started_at, locked_until, refusal_recorded, expires_at)
        SELECT key, 1, :now, locked_until, :false,
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
    types = {f"{name}_{number}": kind for name, kind in _LIMIT_TYPES.items() for number in range(limits)}
    types |= {f"lockout_{number}": UtcDateTime() for number in range(lockouts)}
    parameters = [bindparam(name, type_=kind) for name, kind in types.items()]
    now, false = bindparam("now", type_=UtcDateTime()), bindparam("false", value=False, type_=Boolean())
    return text(statement).bindparams(*parameters, now, false).columns(*throttles.c)

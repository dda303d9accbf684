"""Clean-up: what has expired of refresh tokens, sessions, challenges and throttles; audit records past retention."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.audit_log.store import (
    FUTURE,
    delete_old_rows,
    delete_salts_of_erased_users,
    forget_sources_of_erased_users,
)
from auth_common.database.time_limit import time_limit
from auth_common.events.logger import logger
from auth_common.passkeys.challenge_store import delete_expired_challenges
from auth_common.sessions.refresh_token_store import delete_expired_refresh_tokens
from auth_common.sessions.store import delete_expired_sessions
from auth_common.settings import settings
from auth_common.throttling.store import delete_expired_throttles
from auth_common.transactions import transaction

#: How long expired sessions and their tokens stay: clocks differ, and an investigation may want to see them.
SESSION_RETENTION: Final = timedelta(days=1)
#: Challenges say nothing about anybody, and whoever likes can make many. The minute is for clocks that differ.
CHALLENGE_RETENTION: Final = timedelta(minutes=1)
#: Rows a transaction: a short lock on SQLite, and far below the 3 000 that Aurora DSQL takes in one.
BATCH_ROWS: Final = 1_000
#: Seconds a run and table. All of them end within the function's timeout, and the next run goes on.
SECONDS_PER_TABLE: Final = 140.0
#: Seconds for each of the two kinds of rows that an erasure may leave, of which there are few.
SECONDS_PER_ERASURE_STEP: Final = 20.0
#: Seconds for all statements of a run, so that it fails with an error before its function's timeout ends it.
SECONDS_PER_RUN: Final = 870.0


def delete_expired() -> dict[str, int]:
    """Delete what expired long enough ago, tokens before their sessions. Return how many rows were deleted.

    Raises:
        DatabaseUnavailable: the database is away, or too slow for ``SECONDS_PER_RUN``.

    """
    with time_limit(SECONDS_PER_RUN):
        deleted = _delete_expired()
    logger.info("expired rows deleted", extra={"deleted": deleted})
    return deleted


def _delete_expired() -> dict[str, int]:
    now = datetime.now(UTC)
    expired_before = now - SESSION_RETENTION
    retained_since = int((now - timedelta(days=settings().audit_retention_days)).timestamp() * 1000)
    horizon = int((now + FUTURE).timestamp() * 1000)
    deleted = {
        "refresh_tokens": _in_batches(lambda c: delete_expired_refresh_tokens(c, expired_before, limit=BATCH_ROWS)),
        "sessions": _in_batches(lambda c: delete_expired_sessions(c, expired_before, limit=BATCH_ROWS)),
        "challenges": _in_batches(lambda c: delete_expired_challenges(c, now - CHALLENGE_RETENTION, limit=BATCH_ROWS)),
        # A counter that has expired counts for nothing; a clock that is behind begins it anew all the same.
        "throttles": _in_batches(lambda c: delete_expired_throttles(c, now, limit=BATCH_ROWS)),
        "audit_events": _in_batches(lambda c: delete_old_rows(c, retained_since, limit=BATCH_ROWS, horizon=horizon)),
    }
    day_ago = int((now - timedelta(days=1)).timestamp() * 1000)
    deleted["left_of_the_erased"] = _in_batches(
        lambda c: delete_salts_of_erased_users(c, limit=BATCH_ROWS), seconds=SECONDS_PER_ERASURE_STEP
    ) + _in_batches(
        lambda c: forget_sources_of_erased_users(c, day_ago, limit=BATCH_ROWS),
        seconds=SECONDS_PER_ERASURE_STEP,
    )
    return deleted


def _in_batches(delete_batch: Callable[[Connection], int], *, seconds: float | None = None) -> int:
    end = time.monotonic() + (SECONDS_PER_TABLE if seconds is None else seconds)
    total = deleted = transaction(delete_batch)
    while deleted == BATCH_ROWS and time.monotonic() < end:
        deleted = transaction(delete_batch)
        total += deleted
    return total

"""Clean-up: refresh tokens, sessions and challenges that have expired."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.db.challenges import delete_expired_challenges
from auth_common.db.engine import transaction
from auth_common.db.refresh_tokens import delete_expired_refresh_tokens
from auth_common.db.sessions import delete_expired_sessions
from auth_common.monitoring.logger import logger

#: How long expired rows stay: clocks differ, and an investigation may want to see them.
KEPT: Final = timedelta(days=1)
#: Rows a transaction: a short lock on SQLite, and far below the 3 000 that Aurora DSQL takes in one.
BATCH: Final = 500
#: Batches a run and table: a run ends well within a Lambda's timeout, and the next one goes on.
MOST_BATCHES: Final = 40


def delete_expired() -> dict[str, int]:
    """Delete what expired more than ``KEPT`` ago, tokens before their sessions; return how many rows went."""
    expired_before = datetime.now(UTC) - KEPT
    deleted = {
        "refresh_tokens": _in_batches(lambda c: delete_expired_refresh_tokens(c, expired_before, limit=BATCH)),
        "sessions": _in_batches(lambda c: delete_expired_sessions(c, expired_before, limit=BATCH)),
        "challenges": _in_batches(lambda c: delete_expired_challenges(c, expired_before, limit=BATCH)),
    }
    logger.info("expired rows deleted", extra={"deleted": deleted})
    return deleted


def _in_batches(delete_batch: Callable[[Connection], int]) -> int:
    total = 0
    for _ in range(MOST_BATCHES):
        deleted = transaction(delete_batch)
        total += deleted
        if deleted < BATCH:
            break
    return total

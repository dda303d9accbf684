"""Delete expired rows, accounts that were never used, and audit records past their retention."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.accounts.erasure import delete_unused_accounts
from auth_common.audit_log.salt_store import delete_salts, select_erased_users
from auth_common.audit_log.store import (
    MAX_CLOCK_LEAD,
    delete_old_rows,
    delete_source_hashes,
    delete_source_hashes_of_erased_users,
)
from auth_common.clients.store import delete_expired_assertions
from auth_common.database.time_limit import time_limit
from auth_common.events.logger import logger
from auth_common.mail.store import delete_expired_mails
from auth_common.mail.suppression_store import delete_expired_suppressions
from auth_common.mail_tokens.store import delete_expired_mail_tokens
from auth_common.passkeys.challenge_store import delete_expired_challenges
from auth_common.sessions.refresh_token_store import delete_expired_refresh_tokens
from auth_common.sessions.store import delete_expired_sessions
from auth_common.settings import settings
from auth_common.throttling.store import delete_expired_throttles
from auth_common.transactions import read, transaction
from auth_common.users.email_change_store import delete_expired_email_changes

#: Expired sessions and refresh tokens stay for this time, because clocks differ and an investigation may need them.
SESSION_RETENTION: Final = timedelta(days=1)
#: Expired challenges and mail tokens are deleted soon, because any client can create many and they help no
#: investigation. Old addresses are personal data. The minute allows for clocks that differ.
CHALLENGE_RETENTION: Final = timedelta(minutes=1)
#: The outcome of a mail stays for this time after its expiry, for bounces and for users who ask where a mail is.
MAIL_RETENTION: Final = timedelta(days=30)
#: Rows per transaction. Few rows keep the lock on SQLite short, and Aurora DSQL changes at most 3,000 per transaction.
BATCH_ROWS: Final = 1_000
#: Seconds per run and table, except the tables of mails. All of them fit into the function's timeout. The next run
#: continues.
SECONDS_PER_TABLE: Final = 140.0
#: Seconds per run for each step with few rows: mails, unused accounts, and what an erasure may leave behind.
SECONDS_PER_SMALL_STEP: Final = 15.0
#: Accounts per transaction. Each of them has rows in further tables, and an audit record.
BATCH_ACCOUNTS: Final = 100
#: Seconds for all statements of a run. A slower run fails with an error before the function's timeout ends it.
SECONDS_PER_RUN: Final = 870.0


def delete_expired() -> dict[str, int]:
    """Delete rows whose retention is over, refresh tokens before their sessions. Return the number per table.

    Raises:
        DatabaseUnavailable: the database is unavailable, or the run takes longer than ``SECONDS_PER_RUN``.

    """
    with time_limit(SECONDS_PER_RUN):
        deleted = _delete_expired()
    logger.info("expired rows deleted", extra={"deleted": deleted})
    return deleted


def _delete_expired() -> dict[str, int]:
    now = datetime.now(UTC)
    expired_before = now - SESSION_RETENTION
    ended_before = now - CHALLENGE_RETENTION
    retained_since = int((now - timedelta(days=settings().audit_retention_days)).timestamp() * 1000)
    horizon = int((now + MAX_CLOCK_LEAD).timestamp() * 1000)
    deleted = {
        "refresh_tokens": _in_batches(lambda c: delete_expired_refresh_tokens(c, expired_before, limit=BATCH_ROWS)),
        "sessions": _in_batches(lambda c: delete_expired_sessions(c, expired_before, limit=BATCH_ROWS)),
        "challenges": _in_batches(lambda c: delete_expired_challenges(c, ended_before, limit=BATCH_ROWS)),
        "mail_tokens": _in_batches(
            lambda c: delete_expired_mail_tokens(c, ended_before, limit=BATCH_ROWS), seconds=SECONDS_PER_SMALL_STEP
        ),
        # Without retention: an expired counter is ignored, and an environment whose clock is behind starts a new one.
        "throttles": _in_batches(lambda c: delete_expired_throttles(c, now, limit=BATCH_ROWS)),
        "mails": _in_batches(
            lambda c: delete_expired_mails(c, now - MAIL_RETENTION, limit=BATCH_ROWS), seconds=SECONDS_PER_SMALL_STEP
        ),
        "mail_suppressions": _in_batches(
            lambda c: delete_expired_suppressions(c, now, limit=BATCH_ROWS), seconds=SECONDS_PER_SMALL_STEP
        ),
        "email_changes": _in_batches(
            lambda c: delete_expired_email_changes(c, ended_before, limit=BATCH_ROWS), seconds=SECONDS_PER_SMALL_STEP
        ),
        "client_assertions": _in_batches(
            lambda c: delete_expired_assertions(c, ended_before, limit=BATCH_ROWS), seconds=SECONDS_PER_SMALL_STEP
        ),
        "audit_events": _in_batches(lambda c: delete_old_rows(c, retained_since, limit=BATCH_ROWS, horizon=horizon)),
    }
    day_ago = int((now - timedelta(days=1)).timestamp() * 1000)
    deleted["unused_accounts"] = _in_batches(
        lambda c: delete_unused_accounts(c, now, limit=BATCH_ACCOUNTS),
        seconds=SECONDS_PER_SMALL_STEP,
        size=BATCH_ACCOUNTS,
    )
    deleted["left_of_the_erased"] = _delete_personal_fields_of_erased_users() + _in_batches(
        lambda c: delete_source_hashes_of_erased_users(c, day_ago, limit=BATCH_ROWS),
        seconds=SECONDS_PER_SMALL_STEP,
    )
    return deleted


def _delete_personal_fields_of_erased_users() -> int:
    """Delete the hashes of client IPs and the salts of erased users. Return how many rows."""
    end = time.monotonic() + SECONDS_PER_SMALL_STEP
    deleted = 0
    while (erased := read(_select_erased_users)) and time.monotonic() < end:
        deleted += _delete_personal_fields(erased)
    return deleted


def _select_erased_users(connection: Connection) -> list[UUID]:
    return select_erased_users(connection, limit=BATCH_ROWS)


def _delete_personal_fields(erased: list[UUID]) -> int:
    # The salts are deleted last, because they are what the next run finds if this one is interrupted.
    hashes = _in_batches(lambda connection: delete_source_hashes(connection, user_ids=erased, limit=BATCH_ROWS))
    return hashes + transaction(lambda connection: delete_salts(connection, user_ids=erased))


def _in_batches(
    delete_batch: Callable[[Connection], int], *, seconds: float | None = None, size: int | None = None
) -> int:
    end = time.monotonic() + (SECONDS_PER_TABLE if seconds is None else seconds)
    total = deleted = transaction(delete_batch)
    while deleted == (size or BATCH_ROWS) and time.monotonic() < end:
        deleted = transaction(delete_batch)
        total += deleted
    return total

"""Erase a user's data (GDPR article 17) without breaking the audit log.

The personal fields of audit records are encrypted with a salt per user. Deleting the salt makes these fields unreadable
and changes no record. The rest of each record can still be read, and the chain of records can still be verified.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.audit_log.store import delete_salt, delete_source_hashes
from auth_common.database.engine import empty_write_ahead_log
from auth_common.errors import NotFound
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.store import delete_some_mails
from auth_common.mail.suppression_store import delete_suppression
from auth_common.sessions.store import revoke_sessions
from auth_common.throttling.service import unlock_account
from auth_common.transactions import read, transaction
from auth_common.users.store import (
    delete_some_challenges,
    delete_some_refresh_tokens,
    delete_some_sessions,
    delete_user,
    lock_user,
    select_credentials_by_email,
)

#: Rows that one statement changes. A transaction on Aurora DSQL changes at most 3,000.
BATCH_ROWS: Final = 1_000
#: Each function deletes or changes at most ``limit`` rows of a user. Refresh tokens are deleted before their sessions.
_STEPS: Final = (
    delete_some_refresh_tokens,
    delete_some_sessions,
    delete_some_challenges,
    delete_some_mails,
    delete_source_hashes,
)


def erase_user(email: str) -> UUID:
    """Delete the account with this normalised e-mail address and all of its data. Return the id of the erased user.

    Tables in which a user may have many rows come first, in batches. The account itself is deleted last, so that an
    operator can repeat an interrupted run. On SQLite, the deleted rows are also removed from the database's files.

    Raises:
        NotFound: no account has this address.

    """
    found = read(lambda connection: select_credentials_by_email(connection, email=email))
    if found is None:
        raise NotFound
    user_id = found.user.id
    # The user may create new rows during a long round. After a short round, the last transaction can change the rest.
    while sum(_in_batches(step, user_id) for step in _STEPS) >= BATCH_ROWS:
        pass

    def erase(connection: Connection) -> None:
        # The next two statements lock rows. A concurrent session, challenge or refresh token is either stored already
        # and deleted below, or its transaction waits for the lock and then finds no user or no session.
        lock_user(connection, user_id=user_id)
        revoke_sessions(connection, user_id=user_id, now=datetime.now(UTC), limit=BATCH_ROWS)
        delete_some_refresh_tokens(connection, user_id=user_id, limit=BATCH_ROWS)
        delete_source_hashes(connection, user_id=user_id, limit=BATCH_ROWS)
        unlock_account(connection, email=email, user_id=user_id)
        delete_suppression(connection, email=email)
        delete_salt(connection, user_id=user_id)
        delete_user(connection, user_id=user_id)
        security_event(SecurityEvent.USER_DELETED, user_id=user_id, reason="by_operator")

    transaction(erase)
    if not empty_write_ahead_log():
        # The next checkpoint empties the write-ahead log, at the latest when the last process closes the database.
        logger.warning("the write-ahead log still contains the deleted rows, because another process was reading it")
    return user_id


def _in_batches(step: Callable[..., int], user_id: UUID) -> int:
    """Repeat ``step``, each time in its own transaction, until no row is left. Return how many rows it changed."""
    total = 0
    while changed := transaction(lambda connection: step(connection, user_id=user_id, limit=BATCH_ROWS)):
        total += changed
    return total

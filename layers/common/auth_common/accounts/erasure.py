"""Erasure: a person's data goes (GDPR article 17), and the audit log stays whole.

What the audit log keeps of a person is encrypted under a salt of theirs. Deleting the salt erases it, without a change
to any record; what happened can still be read and verified, but not from which address.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.audit_log.store import delete_salt, forget_sources
from auth_common.database.engine import forget_deleted_rows
from auth_common.errors import NotFound
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions.store import revoke_sessions
from auth_common.throttling.service import unlock
from auth_common.transactions import read, transaction
from auth_common.users.store import (
    delete_some_challenges,
    delete_some_refresh_tokens,
    delete_some_sessions,
    delete_user,
    lock_user,
    select_credentials,
)

#: Rows that one statement changes. A transaction on Aurora DSQL changes at most 3,000.
BATCH_ROWS: Final = 1_000
#: Each deletes or changes up to ``limit`` rows of a user. Refresh tokens go before their sessions.
_STEPS: Final = (delete_some_refresh_tokens, delete_some_sessions, delete_some_challenges, forget_sources)


def erase_user(email: str) -> UUID:
    """Delete the account with this normalised address and all that belongs to it, and return the id that it had.

    Tables in which a user may have many rows come first, in batches. The account itself is deleted last, so that an
    operator can repeat an interrupted run. On SQLite nothing of the user is left in the database's files.

    Raises:
        NotFound: no such user.

    """
    found = read(lambda connection: select_credentials(connection, email=email))
    if found is None:
        raise NotFound
    user_id = found.user.id
    # A long round leaves the user time to make new rows. After a short one, the last transaction can change the rest.
    while sum(_in_batches(step, user_id) for step in _STEPS) >= BATCH_ROWS:
        pass

    def erase(connection: Connection) -> None:
        # Both take locks. A session, challenge or refresh token that is being made now is either stored already, and
        # deleted below, or waits and then finds no user or no session.
        lock_user(connection, user_id=user_id)
        revoke_sessions(connection, user_id=user_id, now=datetime.now(UTC), limit=BATCH_ROWS)
        delete_some_refresh_tokens(connection, user_id=user_id, limit=BATCH_ROWS)
        forget_sources(connection, user_id=user_id, limit=BATCH_ROWS)
        unlock(connection, email=email, user_id=user_id)
        delete_salt(connection, user_id=user_id)
        delete_user(connection, user_id=user_id)
        security_event(SecurityEvent.USER_DELETED, user_id=user_id, reason="by_operator")

    transaction(erase)
    if not forget_deleted_rows():
        # The next checkpoint empties it, at the latest when the last process closes the database.
        logger.warning("the write-ahead log still has the deleted rows: another process was reading it")
    return user_id


def _in_batches(step: Callable[..., int], user_id: UUID) -> int:
    """Repeat ``step``, each time in its own transaction, until no row is left. Return how many rows it changed."""
    total = 0
    while changed := transaction(lambda connection: step(connection, user_id=user_id, limit=BATCH_ROWS)):
        total += changed
    return total

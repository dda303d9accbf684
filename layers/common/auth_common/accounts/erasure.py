"""Erase a user's data (GDPR article 17) without breaking the audit log.

The personal fields of audit records are encrypted with a salt per user. Deleting the salt makes these fields unreadable
and changes no record. The rest of each record can still be read, and the chain of records can still be verified.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.audit_log.salt_store import delete_salts
from auth_common.audit_log.store import delete_source_hashes
from auth_common.database.engine import empty_write_ahead_log
from auth_common.errors import NotFound
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.store import delete_some_mails
from auth_common.mail.suppression_store import delete_suppression
from auth_common.mail_tokens.store import delete_mail_tokens_of
from auth_common.sessions.store import revoke_sessions
from auth_common.throttling.service import unlock_account
from auth_common.transactions import read, transaction
from auth_common.users.email_change_store import delete_email_changes_of
from auth_common.users.store import (
    User,
    count_rows_of,
    delete_some_challenges,
    delete_some_refresh_tokens,
    delete_some_sessions,
    delete_unused_users,
    delete_user,
    lock_user,
    select_credentials_by_email,
)


def _delete_source_hashes(connection: Connection, *, user_id: UUID, limit: int) -> int:
    return delete_source_hashes(connection, user_ids=[user_id], limit=limit)


#: Rows that one statement changes. A transaction on Aurora DSQL changes at most 3,000.
BATCH_ROWS: Final = 1_000
#: Each function deletes or changes at most ``limit`` rows of a user. Refresh tokens are deleted before their sessions.
_STEPS_OF_THE_SERVICE: Final = (
    delete_some_refresh_tokens,
    delete_some_sessions,
    delete_some_challenges,
    delete_some_mails,
)
_STEPS: Final = (*_STEPS_OF_THE_SERVICE, _delete_source_hashes)


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
    user = found.user
    user_id = user.id
    # The user may create new rows during a long round. After a short round, the last transaction can change the rest.
    while sum(_in_batches(step, user_id) for step in _STEPS) >= BATCH_ROWS:
        pass

    def erase(connection: Connection) -> None:
        # This and ``delete_account`` lock rows. A concurrent session, challenge or refresh token is either stored
        # already and deleted, or its transaction waits for the lock and then finds no user or no session.
        lock_user(connection, user_id=user_id)
        _delete_source_hashes(connection, user_id=user_id, limit=BATCH_ROWS)
        delete_salts(connection, user_ids=[user_id])
        delete_suppression(connection, email=email)
        delete_account(connection, user, reason="by_operator")

    transaction(erase)
    if not empty_write_ahead_log():
        # The next checkpoint empties the write-ahead log, at the latest when the last process closes the database.
        logger.warning("the write-ahead log still contains the deleted rows, because another process was reading it")
    return user_id


def delete_many_rows_of(user_id: UUID) -> None:
    """Delete most rows of an account that has more than one transaction can delete. Call it before the deletion.

    Few accounts have so many. The rows of all others are deleted together with the account, or stay with it.
    """
    if read(lambda connection: count_rows_of(connection, user_id=user_id, limit=BATCH_ROWS)) >= BATCH_ROWS:
        for step in _STEPS_OF_THE_SERVICE:
            _in_batches(step, user_id)


def delete_account(connection: Connection, user: User, *, reason: str) -> None:
    """Delete an account and its rows, in a transaction that has locked the user.

    The functions' role in the database may not change the audit log. So the personal fields of the user's audit
    records are deleted by the next clean-up (``operations.cleanup``), or by ``erase_user`` at once.

    Args:
        connection: the transaction.
        user: the user.
        reason: why, for the security event.

    """
    user_id = user.id
    revoke_sessions(connection, user_id=user_id, now=datetime.now(UTC), limit=BATCH_ROWS)
    delete_some_refresh_tokens(connection, user_id=user_id, limit=BATCH_ROWS)
    delete_some_mails(connection, user_id=user_id, limit=BATCH_ROWS)
    delete_mail_tokens_of(connection, user_id=user_id)
    delete_email_changes_of(connection, user_id=user_id)
    unlock_account(connection, email=user.email, user_id=user_id)
    delete_user(connection, user_id=user_id)
    security_event(SecurityEvent.USER_DELETED, user_id=user_id, reason=reason)


def delete_unused_accounts(connection: Connection, now: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` accounts that were not used in time (``User.unused_until``). Return how many."""
    deleted = delete_unused_users(connection, unused_before=now, limit=limit)
    for user_id in deleted:
        delete_some_mails(connection, user_id=user_id, limit=BATCH_ROWS)
        delete_mail_tokens_of(connection, user_id=user_id)
        security_event(SecurityEvent.USER_DELETED, user_id=user_id, reason="never_used")
    return len(deleted)


def _in_batches(step: Callable[..., int], user_id: UUID) -> int:
    """Repeat ``step``, each time in its own transaction, until no row is left. Return how many rows it changed."""
    total = 0
    while changed := transaction(lambda connection: step(connection, user_id=user_id, limit=BATCH_ROWS)):
        total += changed
    return total

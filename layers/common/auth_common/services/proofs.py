"""Proofs of identity in a session: each is counted before it is checked, in the session and nowhere else.

The client already has an access token, so wrong proofs are the sign of a stolen one: the session is revoked. The login
has counters of its own. So a stolen session cannot lock its user out, and a user whose login is locked can still defend
the account (docs/decisions/0018).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from auth_common.db import sessions as store
from auth_common.db.engine import transaction
from auth_common.errors import (
    DatabaseUnavailable,
    InvalidCurrentPassword,
    StepUpFailed,
    TooManyAttempts,
)
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.services.principal import Principal
from auth_common.services.standing import check_standing
from auth_common.settings import settings

#: Wrong proofs that revoke the session.
CEILING: Final = 5
#: Seconds after which proofs that are being checked have been checked: the functions' timeout.
_CHECKED_WITHIN: Final = 10
#: The errors that leave a proof counted. Every other one is not the caller's failure.
_FAILURES: Final = (InvalidCurrentPassword, StepUpFailed)


@contextmanager
def counted_proof(principal: Principal) -> Iterator[None]:
    """Count a proof as failed, let the block check it, and take it back unless it has failed.

    A success resets the count: ``grant_step_up`` and ``carry_over_session`` do, in the transaction of the success.

    Raises:
        InvalidToken: the session is revoked.
        TooManyAttempts: so many proofs are being checked that one more could exceed the ceiling.

    """
    transaction(lambda connection: _count(connection, principal))
    try:
        yield
    except _FAILURES:
        transaction(lambda connection: _revoke_at_ceiling(connection, principal))
        raise
    except BaseException:
        # If the database is away, the proof stays counted: the safe side.
        with suppress(DatabaseUnavailable):
            transaction(lambda connection: store.give_back_proof(connection, session_id=principal.session_id))
        raise


def _count(connection: Connection, principal: Principal) -> None:
    if not store.count_proof(connection, session_id=principal.session_id, ceiling=CEILING):
        check_standing(connection, principal)
        window = settings().refresh_absolute_lifetime
        raise TooManyAttempts(limit="session_proofs", quota=CEILING, window=window, retry_after=_CHECKED_WITHIN)


def _revoke_at_ceiling(connection: Connection, principal: Principal) -> None:
    now = datetime.now(UTC)
    if store.revoke_at_ceiling(connection, session_id=principal.session_id, ceiling=CEILING, now=now):
        security_event(
            SecurityEvent.AUTHN_STEP_UP_FAIL_MAX, user_id=principal.user_id, session_id=str(principal.session_id)
        )

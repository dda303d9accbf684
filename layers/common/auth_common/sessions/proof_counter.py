"""Proofs of identity in a session: each is counted before it is checked, in the session and nowhere else.

The client already has an access token, so wrong proofs are the sign of a stolen one: the session is revoked. The login
has counters of its own. So a stolen session cannot lock its user out, and a user whose login is locked can still defend
the account (docs/decisions/0018).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import DatabaseUnavailable, TooManyAttempts
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions import store
from auth_common.sessions.caller_checks import check_standing
from auth_common.sessions.principal import Principal
from auth_common.settings import settings
from auth_common.transactions import transaction

#: Wrong proofs that revoke the session.
CEILING: Final = 5
#: The functions' timeout: a proof that is pending for longer has crashed.
CHECKED_WITHIN: Final = timedelta(seconds=10)


class CountedProof:
    """A proof of identity that is counted as pending, until it is right, wrong or taken back."""

    def __init__(self, principal: Principal, pending_until: datetime) -> None:
        """Keep whose it is, and when it is not counted any more."""
        self._principal = principal
        self._pending_until = pending_until
        self._is_wrong = False

    @property
    def pending_proofs(self) -> int:
        """Return how many pending proofs of the session this one is: 1, or 0 if it is not counted any more.

        The outcome of a late proof must not remove another one, which was counted after it.
        """
        return int(datetime.now(UTC) < self._pending_until)

    def reject(self, event: SecurityEvent, *, reason: str, **detail: str) -> None:
        """Record that the proof is wrong. The fifth wrong one revokes the session in this transaction."""
        # If this fails, the proof stays pending until its time is over. The client gets a 503 and learns nothing.
        self._is_wrong = True
        transaction(lambda connection: self._reject(connection, event, reason, detail))

    def take_back(self) -> None:
        """Stop counting the proof, unless it is wrong."""
        if not self._is_wrong:
            # If the database is away, the proof stays pending until its time is over.
            with suppress(DatabaseUnavailable):
                transaction(self._take_back)

    def _reject(self, connection: Connection, event: SecurityEvent, reason: str, detail: dict[str, str]) -> None:
        user_id, session_id = self._principal.user_id, self._principal.session_id
        security_event(event, user_id=user_id, reason=reason, session_id=str(session_id), **detail)
        if store.record_wrong_proof(
            connection,
            session_id=session_id,
            pending_proofs=self.pending_proofs,
            ceiling=CEILING,
            now=datetime.now(UTC),
        ):
            security_event(SecurityEvent.AUTHN_STEP_UP_FAIL_MAX, user_id=user_id, session_id=str(session_id))

    def _take_back(self, connection: Connection) -> None:
        session_id = self._principal.session_id
        store.take_back_proofs(connection, session_id=session_id, pending_proofs=self.pending_proofs)


@contextmanager
def counted_proof(principal: Principal) -> Iterator[CountedProof]:
    """Count a proof as pending, in a commit of its own, and let the block check it.

    The block calls ``reject`` for a wrong proof. For a right one, ``grant_step_up`` or ``carry_over_session`` resets
    the count in the transaction of the success. Any other exception takes the proof back: input that is not valid, an
    expired challenge or a failure of the service is no wrong proof.

    Raises:
        InvalidToken: the session is revoked.
        TooManyAttempts: so many proofs are being checked that one more could exceed the ceiling.

    """
    proof = CountedProof(principal, transaction(lambda connection: _count(connection, principal)))
    try:
        yield proof
    except BaseException:
        proof.take_back()
        raise


def _count(connection: Connection, principal: Principal) -> datetime:
    """Return until when the proof is counted as pending."""
    now = datetime.now(UTC)
    until = now + CHECKED_WITHIN
    if not store.count_proof(connection, session_id=principal.session_id, ceiling=CEILING, now=now, until=until):
        check_standing(connection, principal)
        raise TooManyAttempts(
            limit="session_proofs",
            quota=CEILING,
            window=settings().refresh_absolute_lifetime,
            retry_after=int(CHECKED_WITHIN.total_seconds()),
        )
    return until

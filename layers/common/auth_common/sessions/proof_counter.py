"""Proofs of identity in a session: each is counted before it is checked. The fifth wrong one revokes the session.

The client of a wrong proof already has an access token, so wrong proofs are the sign of a stolen one. They are counted
in the session, apart from failed logins. So an attacker with a stolen session cannot lock its user out of the login,
and a user whose login is locked can still defend the account (docs/decisions/0018).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.errors import DatabaseUnavailable, TooManyAttempts
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.sessions import store
from auth_common.sessions.caller_checks import require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.settings import settings
from auth_common.transactions import read, single_statement, transaction

#: The number of wrong proofs that revokes the session.
MAX_WRONG_PROOFS: Final = 5
#: The timeout of the functions. A proof that is pending for longer belongs to a request that has crashed.
PROOF_TIMEOUT: Final = timedelta(seconds=10)


class CountedProof:
    """A proof of identity that is counted as pending until it is right, wrong or cancelled."""

    def __init__(self, principal: Principal, pending_until: datetime) -> None:
        """Store the caller, and the time until which the proof is counted as pending."""
        self._principal = principal
        self._pending_until = pending_until
        self._is_wrong = False

    @property
    def pending_proofs(self) -> int:
        """Return the number of pending proofs to remove with this one: 1, or 0 if it is no longer counted.

        A late outcome must not remove a pending proof that was counted later.
        """
        return int(datetime.now(UTC) < self._pending_until)

    def reject(self, event: SecurityEvent, *, reason: str, **detail: str) -> None:
        """Record that the proof is wrong. The fifth wrong one revokes the session in the same transaction.

        Args:
            event: the security event of a wrong proof.
            reason: why it is wrong.
            detail: further fields of the event.

        """
        # If this fails, the proof stays pending until its timeout. The client gets a 503 and learns nothing.
        self._is_wrong = True
        transaction(lambda connection: self._reject(connection, event, reason, detail))

    def cancel(self) -> None:
        """Stop counting the proof, unless it is wrong."""
        if not self._is_wrong:
            # Without a database the proof stays pending until its timeout.
            with suppress(DatabaseUnavailable):
                single_statement(self._cancel)

    def _reject(self, connection: Connection, event: SecurityEvent, reason: str, detail: dict[str, str]) -> None:
        user_id, session_id = self._principal.user_id, self._principal.session_id
        security_event(event, user_id=user_id, reason=reason, session_id=str(session_id), **detail)
        if store.record_wrong_proof(
            connection,
            session_id=session_id,
            pending_proofs=self.pending_proofs,
            max_wrong_proofs=MAX_WRONG_PROOFS,
            now=datetime.now(UTC),
        ):
            security_event(SecurityEvent.AUTHN_STEP_UP_FAIL_MAX, user_id=user_id, session_id=str(session_id))

    def _cancel(self, connection: Connection) -> None:
        session_id = self._principal.session_id
        store.cancel_pending_proofs(connection, session_id=session_id, pending_proofs=self.pending_proofs)


@contextmanager
def counted_proof(principal: Principal) -> Iterator[CountedProof]:
    """Count a proof as pending, commit that, and run the block that checks it.

    For a wrong proof the block calls ``reject``. For a right one it calls ``grant_step_up`` or ``carry_over_session``,
    which reset the count in the transaction of the success. If the block raises without ``reject``, the proof is not
    counted: invalid input, an expired challenge or a failure of the service is no wrong proof.

    Raises:
        InvalidToken: the session is revoked.
        TooManyAttempts: so many proofs are being checked that one more could exceed the maximum.

    """
    proof = CountedProof(principal, _count(principal))
    try:
        yield proof
    except BaseException:
        proof.cancel()
        raise


def _count(principal: Principal) -> datetime:
    """Count a proof as pending. Return the time until which it is counted."""
    now = datetime.now(UTC)
    until = now + PROOF_TIMEOUT
    if not single_statement(
        lambda connection: store.count_pending_proof(
            connection, session_id=principal.session_id, max_proofs=MAX_WRONG_PROOFS, now=now, until=until
        )
    ):
        read(lambda connection: require_valid_session(connection, principal))
        raise TooManyAttempts(
            limit="session_proofs",
            quota=MAX_WRONG_PROOFS,
            window=settings().refresh_absolute_lifetime,
            retry_after=int(PROOF_TIMEOUT.total_seconds()),
        )
    return until

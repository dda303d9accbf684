"""Throttling: who fails too often has to wait, and each time twice as long.

The counters are in the service's own database, so all environments share them. What an attacker must not be able to do
with them: learn whether an account exists (an unknown address is counted like any other), lock its owner out (a login
from a known address, and mostly a passkey, still work), or fill the audit log (it gets one refusal a lock).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from auth_common.errors import (
    EmailTaken,
    InvalidChallenge,
    InvalidCredentials,
    PasskeyLoginFailed,
    ServiceError,
    TooManyAttempts,
)
from auth_common.events import request_context
from auth_common.keys.keyed_hashes import account_pseudonym, throttle_key
from auth_common.throttling import limits
from auth_common.throttling.attempts import Attempt, Subject, counted_attempt, refuse_if_locked
from auth_common.throttling.limits import Limit, SessionLimit
from auth_common.throttling.store import delete_throttle, select_known_sources
from auth_common.transactions import read

#: How long a login makes its source known for the account: as long as a session may last.
KNOWN_FOR: Final = timedelta(days=30)
#: The newest sources of an account that are looked at.
_SOURCES: Final = 200


@contextmanager
def login_attempt(email: str) -> Iterator[Attempt]:
    """Count a login with a password, to the account with this address (normalised), whether there is one or not.

    Raises:
        TooManyAttempts: the account, the source, or the one at the other is locked.

    """
    since = datetime.now(UTC) - KNOWN_FOR
    known = read(lambda c: select_known_sources(c, email=email, since=since, limit=_SOURCES))
    source = _source()
    is_known = source in {limits.source_of(address) for address in known.addresses}
    if known.registered_from is not None:
        is_known |= known.registered_from == known_source()
    subject = Subject(known.user_id, None if known.user_id else account_pseudonym(email))
    counters = limits.of_login(email=email, source=source, is_known=is_known)
    with counted_attempt(subject, counters, failures=(InvalidCredentials,)) as attempt:
        yield attempt


@contextmanager
def passkey_attempt(user_id: UUID | None) -> Iterator[Attempt]:
    """Count the response of a passkey.

    A second factor is counted for its client IP, too, but only its user's own lockout stops it: strangers behind the
    same client IP, who do not know the password, cannot.

    Args:
        user_id: whose second factor it is. None for a passkey alone, and for a response to no current challenge.

    Raises:
        TooManyAttempts: the user's second factors are locked, or the client IP is, for a passkey alone.

    """
    counters = [limits.of_passkeys(_source(), exempt=user_id is not None)]
    if user_id is not None:
        counters.append(limits.of_second_factor(user_id))
    with counted_attempt(Subject(user_id), counters, failures=(PasskeyLoginFailed, InvalidChallenge)) as attempt:
        yield attempt


@contextmanager
def registration_attempt() -> Iterator[Attempt]:
    """Count a registration, whether it succeeds or its address is taken. One with a weak password is given back.

    Raises:
        TooManyAttempts: the source is locked.

    """
    with counted_attempt(Subject(), [limits.of_registrations(_source())], failures=(EmailTaken,)) as attempt:
        yield attempt


def count_in_session(name: SessionLimit, *, user_id: UUID, session_id: UUID) -> None:
    """Count what leaves a row behind: a challenge, or the audit record of a response to one that is not valid.

    Raises:
        TooManyAttempts: the session has done it too often in this hour.

    """
    Attempt(Subject(user_id)).count(limits.of_session(name, session_id))


def require_second_factor_unlocked(user_id: UUID) -> None:
    """Look, without counting.

    Raises:
        TooManyAttempts: the user's second factors are locked.

    """
    refuse_if_locked([limits.of_second_factor(user_id)], Subject(user_id))


def count_rejected_mfa_token(user_id: UUID | None) -> None:
    """Count an ``mfa_token`` that is not valid, of a user where the signature vouches for one.

    For its source alone: a token that was overtaken guesses at no second factor, and whoever has kept one must not be
    able to lock its owner's.

    Raises:
        TooManyAttempts: the source is locked.

    """
    _count_failure(Subject(user_id), limits.of_passkeys(_source()))


def count_rejected_refresh_token() -> None:
    """Count a refresh token that is not valid. Afterwards is early enough: nobody guesses 256 bits.

    Raises:
        TooManyAttempts: the source is locked.

    """
    _count_failure(Subject(), limits.of_refreshes(_source()))


def count_bad_input() -> bool:
    """Count a refused body or query; return whether the audit log has room for another of this source."""
    try:
        Attempt(Subject()).count(limits.of_bad_input(_source()))
    except TooManyAttempts:
        return False
    except (ServiceError, SQLAlchemyError):
        # Without a database nothing fills it. A refusal stands, whether it can be counted and recorded or not.
        return True
    return True


def known_source() -> bytes:
    """Return the keyed hash of this request's client IP, 16 bytes: what a registration stores of it."""
    return throttle_key("known_source", _source())


def start_afresh(connection: Connection, *, email: str) -> None:
    """Delete the failed logins that were counted for ``email`` before its account existed.

    Call it in the transaction that gives an account this address, after the statement that fails if the address is
    taken. Otherwise an attacker could lock the account before its owner registers, or clear the counters of another.
    Failures from other client IPs at this address stay counted for those client IPs: they do not stop this one.
    """
    keys = (limits.account_key(email), limits.account_source_key(email, _source()))
    for key in sorted(keys):  # attempts lock them in this order
        delete_throttle(connection, key)


def unlock(connection: Connection, *, email: str, user_id: UUID) -> int:
    """Forget the failures of an account, but for those that belong to one source; return how many counters went."""
    keys = (limits.account_key(email), limits.second_factor_key(user_id))
    return sum(delete_throttle(connection, key) for key in keys)


def _count_failure(subject: Subject, counter: Limit) -> None:
    attempt = Attempt(subject)
    attempt.count(counter)
    attempt.fail()


def _source() -> str:
    return limits.source_of(request_context.get().source_ip)

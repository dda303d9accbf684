"""Throttling: rate limits and lockouts. Each lockout of a counter is twice as long as the one before.

The counters are in the service's own database, so all environments share them. They must not help an attacker to do
any of this:

- Learn whether an account exists: an e-mail address without an account is counted in the same way.
- Lock a user out: logins from a known client IP still work, and so do most logins with a passkey.
- Fill the audit log: each lockout adds one rejection to it.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from auth_common.errors import (
    EmailTaken,
    InvalidChallenge,
    InvalidCredentials,
    InvalidCurrentPassword,
    InvalidOrExpiredCode,
    PasskeyLoginFailed,
    ServiceError,
    TooManyAttempts,
)
from auth_common.throttling import limits
from auth_common.throttling.attempts import (
    Attempt,
    AttemptedAccount,
    counted_attempt,
    locked_until,
    require_unlocked,
)
from auth_common.throttling.known_clients import account_of, is_known_client_ip, request_client_ip
from auth_common.throttling.limits import Limit, MailRequestName, SessionLimitName
from auth_common.throttling.store import (
    KnownClients,
    delete_throttles,
    move_throttle,
    reset_throttles,
    select_throttles,
)

#: The errors of a wrong password, at the login and beside the link of a mail.
_WRONG_PASSWORD: Final = (InvalidCredentials, InvalidCurrentPassword)
_KEY_BYTES: Final = 16
#: The mails without which the user of an account cannot use it.
_MAILS_OF_AN_ACCOUNT: Final[tuple[MailRequestName, ...]] = ("registration", "verification", "reset")


@contextmanager
def login_attempt(email: str, known: KnownClients, *, is_known: bool = False) -> Iterator[Attempt]:
    """Count a login with a password. An e-mail address without an account is counted too.

    Args:
        email: normalised.
        known: from ``find_known_clients``.
        is_known: whether the client is known in any case, so that the account's lockouts do not apply to it.

    Raises:
        TooManyAttempts: the account is locked, or the client IP, or the client IP for this account.

    """
    account = account_of(email, known.user_id)
    is_known |= is_known_client_ip(known)
    login_limits = limits.login_limits(email=email, client_ip=request_client_ip(), is_known=is_known)
    with counted_attempt(account, login_limits, failures=_WRONG_PASSWORD, is_login=True) as attempt:
        yield attempt


@contextmanager
def passkey_attempt(user_id: UUID | None) -> Iterator[Attempt]:
    """Count the response of a passkey.

    A second factor is counted for its client IP too, but only the user's own lockout rejects it. So attackers behind
    the same client IP who do not know the password cannot block it.

    Args:
        user_id: the user, if it is a second factor. None for a passkey alone, and for an invalid challenge.

    Raises:
        TooManyAttempts: the user's second factors are locked. For a passkey alone, the client IP is locked.

    """
    passkey_limits = [limits.passkey_limit(request_client_ip(), exempt_from_lockouts=user_id is not None)]
    if user_id is not None:
        passkey_limits.append(limits.second_factor_limit(user_id))
    failures = (PasskeyLoginFailed, InvalidChallenge)
    with counted_attempt(AttemptedAccount(user_id), passkey_limits, failures=failures, is_login=True) as attempt:
        yield attempt


@contextmanager
def registration_attempt() -> Iterator[Attempt]:
    """Count a registration that succeeds, or whose address is taken. A rejected password is not counted.

    Raises:
        TooManyAttempts: the client IP is locked.

    """
    registration_limits = [limits.registration_limit(request_client_ip())]
    with counted_attempt(AttemptedAccount(), registration_limits, failures=(EmailTaken,)) as attempt:
        yield attempt


@contextmanager
def mail_token_attempt(*, code_for: str | None = None) -> Iterator[Attempt]:
    """Count the token of a link or a code, as a failure if it is not valid.

    Args:
        code_for: the normalised address of a code. It is counted for this address too, which may have no account. None
            for a token, which cannot be guessed: an attacker must not be able to stop its use.

    Raises:
        TooManyAttempts: the client IP is locked, or for a code the address.

    """
    token_limits = [limits.mail_token_limit(request_client_ip())]
    account = AttemptedAccount()
    if code_for is not None:
        token_limits.append(limits.code_limit(code_for))
        account = account_of(code_for, None)
    with counted_attempt(account, token_limits, failures=(InvalidOrExpiredCode,)) as attempt:
        yield attempt


def count_in_session(name: SessionLimitName, *, user_id: UUID, session_id: UUID) -> None:
    """Count what adds a row: a challenge, or the audit record of a response to an invalid one.

    Raises:
        TooManyAttempts: the session has reached the limit of this hour.

    """
    Attempt(AttemptedAccount(user_id)).count(limits.session_limit(name, session_id))


def count_credential_change(user_id: UUID) -> None:
    """Count a change of the password or a new passkey, after the checks. A password reset is not counted.

    Each sends a notice, whose link a transaction must later delete. Without a limit, a hijacker could add so many that
    neither a reset nor the link "this was not me" works.

    Raises:
        TooManyAttempts: the account has reached the limit of this day.

    """
    Attempt(AttemptedAccount(user_id)).count(limits.credential_change_limit(user_id))


def require_second_factor_unlocked(user_id: UUID) -> None:
    """Require that the user's second factors are not locked, without counting anything.

    Raises:
        TooManyAttempts: they are locked.

    """
    require_unlocked([limits.second_factor_limit(user_id)], AttemptedAccount(user_id))


def count_rejected_mfa_token(user_id: UUID | None) -> None:
    """Count an ``mfa_token`` that is not valid, for its client IP alone.

    It is no guess at a second factor. If it were counted for the user, an attacker with an old token could lock the
    user's second factors.

    Args:
        user_id: the user, if the token's signature is valid.

    Raises:
        TooManyAttempts: the client IP is locked.

    """
    _count_failure(AttemptedAccount(user_id), limits.passkey_limit(request_client_ip()), is_login=True)


def count_rejected_refresh_token() -> None:
    """Count a refresh token that is not valid, after it was rejected. An attacker cannot guess 256 bits.

    Raises:
        TooManyAttempts: the client IP is locked.

    """
    _count_failure(AttemptedAccount(), limits.refresh_limit(request_client_ip()))


def count_rejected_client(name: str | None) -> None:
    """Count a failed authentication of a client, after it was rejected. An attacker cannot guess 256 bits.

    Valid credentials are not counted and not limited, so an attacker cannot lock a client out. The limit bounds the
    audit log.

    Args:
        name: the name of the client, which may not exist. None if the request has none.

    Raises:
        TooManyAttempts: the client IP or the client is locked.

    """
    _count_failure(AttemptedAccount(), *limits.client_limits(request_client_ip(), name))


def count_inactive_introspection(client: str) -> bool:
    """Count an inactive token. Return whether the audit log may store another one that this client introspects.

    No introspection is rejected: an attacker who sends tokens to a service must not stop its introspections.

    Args:
        client: the name of the client.

    """
    try:
        Attempt(AttemptedAccount()).count(limits.introspection_limit(client))
    except TooManyAttempts:
        return False
    return True


def count_bad_input() -> bool:
    """Count a rejected body or query. Return whether the audit log may store another one from this client IP."""
    try:
        Attempt(AttemptedAccount()).count(limits.bad_input_limit(request_client_ip()))
    except TooManyAttempts:
        return False
    except (ServiceError, SQLAlchemyError):
        # The request is rejected in any case. Without a database, no record fills the audit log.
        return True
    return True


def reset_failures_of_new_account(connection: Connection, *, email: str) -> None:
    """Delete the failed logins, mails and codes that were counted for ``email`` before its account existed.

    Call it in the transaction that gives an account this address, after the statement that fails if the address is
    taken. Otherwise an attacker could lock the account before its user registers, or reset the counters of another one.
    Failures from other client IPs at this address stay counted for those client IPs: they do not block this one.
    """
    keys = [limits.account_key(email), limits.account_and_client_ip_key(email, request_client_ip())]
    # An attacker must not be able to stop the mails and codes of an account before it has the address.
    by_address = [limit for name in _MAILS_OF_AN_ACCOUNT for limit in limits.mail_limits(name, email)]
    keys += [limit.key for limit in (*by_address, limits.code_limit(email))]
    reset_throttles(connection, keys)


def reset_failures_after_password_reset(connection: Connection, *, email: str) -> None:
    """Delete the failed logins of an account, so that its user can log in with the new password.

    Call it in the transaction of the reset. The failures of second factors stay counted, because a mailbox is none.
    """
    keys = (limits.account_key(email), limits.account_and_client_ip_key(email, request_client_ip()))
    reset_throttles(connection, keys)


def move_failures(connection: Connection, *, old_email: str, new_email: str) -> None:
    """Move the failed logins of an account to its new address, so that a change of the address resets no lockout.

    Call it in the transaction of the change. What was counted at the new address before concerns no account. An
    attacker could have counted it to lock the account's user out.
    """
    reset_failures_of_new_account(connection, email=new_email)
    move_throttle(connection, old=limits.account_key(old_email), new=limits.account_key(new_email))


def spend_statements(connection: Connection, number: int) -> None:
    """Send ``number`` statements that change nothing, and that may wait (``write_later``).

    A transaction that needs fewer statements for a taken address than for a new one calls it, because a client can
    measure how long a response takes.
    """
    for _ in range(number):
        reset_throttles(connection, [secrets.token_bytes(_KEY_BYTES)])


def unlock_account(connection: Connection, *, email: str, user_id: UUID) -> int:
    """Delete the counters of an account, except those of a single client IP. Return how many were deleted."""
    keys = (limits.account_key(email), limits.second_factor_key(user_id))
    return delete_throttles(connection, keys)


def select_lockouts(connection: Connection, *, email: str, user_id: UUID, now: datetime) -> dict[str, datetime]:
    """Return the names of the limits that lock an account, or its second factors, and until when.

    Lockouts of a single client IP are left out.
    """
    of_account = (
        limits.login_limits(email=email, client_ip="", is_known=False)[1],
        limits.second_factor_limit(user_id),
    )
    found = select_throttles(connection, [limit.key for limit in of_account])
    ends = {limit.name: locked_until(limit, found[limit.key]) for limit in of_account if limit.key in found}
    return {name: end for name, end in ends.items() if end > now}


def _count_failure(account: AttemptedAccount, *counted_in: Limit, is_login: bool = False) -> None:
    attempt = Attempt(account, is_login=is_login)
    attempt.count(*counted_in)
    attempt.fail()

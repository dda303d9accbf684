"""Limits of the mails that an attacker can cause: by requests, and by logins that a notice tells.

The limits of all mails of the stack are in ``mail.hourly_limit``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.throttling import limits
from auth_common.throttling.attempts import Attempt, AttemptedAccount, counted_attempt
from auth_common.throttling.known_clients import account_of, find_known_clients, is_known_client_ip, request_client_ip
from auth_common.throttling.limits import Limit, MailRequestName
from auth_common.throttling.store import count_attempts, reset_throttles, select_throttles
from auth_common.transactions import read

#: A registration has no account yet. ``user_creation_fail`` names the account that has its address.
_NO_ACCOUNT: Final = AttemptedAccount()


@contextmanager
def mail_request(name: MailRequestName, *, email: str) -> Iterator[bool]:
    """Count a request for a mail for its client IP and for its address, and yield whether the mail may be sent.

    The response must not show whether it may. A client IP that the account is known to use has its own number of mails
    in a day. So an attacker who uses up the others does not keep the user from requesting one.

    Args:
        name: what is requested.
        email: normalised.

    Raises:
        TooManyAttempts: the client IP has requested too many mails.

    """
    known = read(lambda connection: find_known_clients(connection, email))
    is_known, client_ip = is_known_client_ip(known), request_client_ip()
    account = account_of(email, known.user_id)
    by_address = limits.mail_limits(name, email, client_ip) if is_known else limits.mail_limits(name, email)
    by_address.append(limits.mail_to_address_limit(name, email, client_ip))
    # A request that succeeds stays counted.
    with (
        counted_attempt(account, [limits.mail_request_limit(client_ip)], failures=()),
        _counted_silently(by_address, account=account) as may_send,
    ):
        yield may_send


@contextmanager
def email_change_request(user_id: UUID, *, new_email: str) -> Iterator[bool]:
    """Count a request to change an address for its client IP, its account and the new address.

    Yield whether the mail may be sent. The response must not show that.

    Raises:
        TooManyAttempts: the client IP has requested too many mails, or the account too many changes.

    """
    account = AttemptedAccount(user_id)
    change_limits = [limits.mail_request_limit(request_client_ip()), limits.email_change_limit(user_id)]
    # A request that succeeds stays counted.
    with (
        counted_attempt(account, change_limits, failures=()),
        _counted_silently(limits.mail_limits("change", new_email), account=account) as may_send,
    ):
        yield may_send


@contextmanager
def registration_mail(*, email: str) -> Iterator[bool]:
    """Count the mail of a registration for its client IP and its address, and yield whether it may be sent.

    The response must not show whether it may. An address without an account is counted too.

    Args:
        email: normalised.

    """
    by_client_ip = [limits.mail_request_limit(request_client_ip())]
    with _counted_silently(by_client_ip, limits.mail_limits("registration", email)) as may_send:
        yield may_send


@contextmanager
def registration_mail_to_new_account() -> Iterator[bool]:
    """Count the mail to a new account for its client IP, and yield whether it may be sent.

    The limit rejects no registration, because registrations have another one. The user can request the mail later.
    """
    with _counted_silently([limits.mail_request_limit(request_client_ip())]) as may_send:
        yield may_send


def count_new_login(connection: Connection, *, user_id: UUID) -> int | None:
    """Count a login from a new client. Return None if it is too early for another notice.

    Otherwise return how many earlier logins no notice has told. Call it in the transaction of the login, which has
    locked the user.
    """
    limit = limits.new_login_limit(user_id)
    now = datetime.now(UTC)
    earlier = select_throttles(connection, [limit.key]).get(limit.key)
    is_paused = earlier is not None and earlier.locked_until is not None and earlier.locked_until > now
    if not is_paused:
        reset_throttles(connection, [limit.key])
    count_attempts(connection, [limit], now=now)
    if is_paused:
        return None
    # The first one in the counter was told.
    return earlier.failures - 1 if earlier else 0


def may_send_lockout_notice(connection: Connection, *, email: str, user_id: UUID | None) -> bool:
    """Count a notice of a lockout, and return whether it may be sent. An address without an account is counted too."""
    limit = limits.lockout_notice_limit(str(user_id) if user_id else email)
    return bool(count_attempts(connection, [limit], now=datetime.now(UTC)))


@contextmanager
def _counted_silently(*groups: Sequence[Limit], account: AttemptedAccount = _NO_ACCOUNT) -> Iterator[bool]:
    """Count an attempt in each group, and yield whether none is locked. An error of the block cancels the attempt."""
    attempt = Attempt(account)
    may_send = attempt.count_silently(*groups)
    try:
        yield may_send
    except BaseException:
        attempt.cancel()
        raise

"""Rate limits: what each one counts, and how many failures it allows.

A ``Limit`` counts the failures of a client IP or of a session in a window of time. A success does not reset it.
Otherwise an attacker could log in to an account of their own to hide guesses at other accounts. An ``InARowLimit``
counts the failures of an account. A success resets it.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import ClassVar, Final, Literal
from uuid import UUID

from auth_common.keys.keyed_hashes import throttle_key
from auth_common.settings import settings

#: NIST SP 800-63B-4 section 3.2.2: no more than 100 failures in a row, then the authenticator is disabled.
MAX_FAILURES_IN_A_ROW: Final = 100
#: How many of those come from client IPs that are not known for the account. The user can still use the others.
MAX_FAILURES_FROM_UNKNOWN_IPS: Final = 50
#: What is limited for each session: challenges begun, and responses to challenges that are not valid.
SessionLimitName = Literal["step_up_challenge", "registration_challenge", "invalid_challenge"]
#: What makes the service send a mail to an address that any client may name. Each has limits of its own.
MailRequestName = Literal["registration", "verification", "reset", "change"]
#: How many of each a session may have in an hour.
HOURLY_CHALLENGES_PER_SESSION: Final = 30
#: Higher than the database's column can count.
_NO_MAXIMUM: Final = 2**31 - 1
#: How long failures from one client IP at one account are counted.
_ACCOUNT_AND_CLIENT_IP_WINDOW: Final = timedelta(days=1)
#: How often a mail of one kind is sent to one address, because any client may request it.
_MAIL_PAUSE: Final = timedelta(minutes=5)
MAILS_PER_DAY: Final = 12
#: How many changes of its address an account may request in a day.
EMAIL_CHANGES_PER_DAY: Final = 10
#: How many of them one client IP may cause, so that an attacker with few client IPs cannot use up a user's mails.
MAILS_PER_DAY_FROM_CLIENT_IP: Final = 4
#: How often a notice of a new login, or of a lockout, is sent to one account.
NEW_LOGIN_NOTICE_PAUSE: Final = timedelta(hours=1)
LOCKOUT_NOTICE_PAUSE: Final = timedelta(days=1)
#: How long logins that no notice has told are counted.
_NEW_LOGINS_COUNTED_FOR: Final = timedelta(days=30)
#: How many changes of the password and new passkeys an account may have in a day. Each of them adds links to the
#: database, and one transaction on Aurora DSQL must be able to delete those of a week (at most 3,000 rows).
CREDENTIAL_CHANGES_PER_DAY: Final = 50
#: How many wrong codes may be tried at one address in a day.
CODES_PER_DAY: Final = 30
#: Bits. Each customer of a provider gets at least a /64 of IPv6, and can use all addresses in it (RFC 6177).
_IPV6_NETWORK_PREFIX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of failures in a window of time, which begins with the first failure."""

    #: The name in header fields and security events.
    name: str
    #: The key of its counter in the database.
    key: bytes
    #: Failures that begin the first lockout. Each further failure begins a lockout of twice the length.
    quota: int
    #: How long failures are counted.
    window: timedelta
    #: Failures that begin a lockout until the window ends. No attempt is exempt from that lockout.
    max_failures: int = _NO_MAXIMUM
    #: Whether this attempt is accepted during the lockouts before ``max_failures``. The attempt is still counted.
    exempt_from_lockouts: bool = False
    #: Whether a success resets the counter and each failure begins the window again.
    is_in_a_row: ClassVar[bool] = False

    def lockout_after(self, failures: int) -> timedelta | None:
        """Return how long the lockout after ``failures`` failures is. Return None if there is none."""
        if failures >= self.max_failures:
            return self.window
        if self.exempt_from_lockouts or failures < self.quota:
            return None
        lengths = lockout_lengths()
        return lengths[min(failures - self.quota, len(lengths) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InARowLimit(Limit):
    """A limit of failures in a row. A success resets it, and the window begins again with each failure."""

    is_in_a_row: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLoginLimit(Limit):
    """The counter of logins from new clients. Its first lockout is the pause after a notice. Each login is counted."""

    exempt_from_lockouts: bool = True

    def lockout_after(self, failures: int) -> timedelta | None:
        """Return the pause after the first login. Return None for logins in the pause."""
        return NEW_LOGIN_NOTICE_PAUSE if failures == 1 else None


def lockout_lengths() -> list[timedelta]:
    """Return how long the first lockout of a counter is, and the next ones. All further ones are as long as the last.

    ``Limit.lockout_after`` and the statement that counts use it.
    """
    seconds = [min(settings().throttle_first_lock, settings().throttle_longest_lock)]
    while seconds[-1] < settings().throttle_longest_lock:
        seconds.append(min(2 * seconds[-1], settings().throttle_longest_lock))
    return [timedelta(seconds=length) for length in seconds]


@lru_cache(maxsize=1)  # The steps of a request normalise the same client IP.
def normalise_client_ip(client_ip: str) -> str:
    """Return the form in which a client IP is counted: itself, or for IPv6 its /64 network in hexadecimal."""
    try:
        parsed = ip_address(client_ip)
    except ValueError:
        return client_ip
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else (int(parsed) >> (128 - _IPV6_NETWORK_PREFIX)).to_bytes(8).hex()
    return str(parsed)


def login_limits(*, email: str, client_ip: str, is_known: bool) -> list[Limit]:
    """Return the limits of a login with a password.

    Args:
        email: normalised.
        client_ip: normalised.
        is_known: whether the account is known to use the client IP. The account's lockouts then do not apply to it.

    """
    return [
        InARowLimit(
            name="login_account_source",
            key=account_and_client_ip_key(email, client_ip),
            quota=settings().throttle_login_per_account_and_source,
            window=_ACCOUNT_AND_CLIENT_IP_WINDOW,
        ),
        InARowLimit(
            name="login_account",
            key=account_key(email),
            quota=settings().throttle_login_per_account,
            window=_audit_retention(),
            max_failures=MAX_FAILURES_IN_A_ROW if is_known else MAX_FAILURES_FROM_UNKNOWN_IPS,
            exempt_from_lockouts=is_known,
        ),
        _client_ip_limit("login_source", client_ip, settings().throttle_login_per_source),
    ]


def second_factor_limit(user_id: UUID) -> Limit:
    """Return the limit that all second factors of a user share."""
    return InARowLimit(
        name="second_factor",
        key=second_factor_key(user_id),
        quota=settings().throttle_second_factor_per_account,
        window=_audit_retention(),
        max_failures=MAX_FAILURES_IN_A_ROW,
    )


def passkey_limit(client_ip: str, *, exempt_from_lockouts: bool = False) -> Limit:
    """Return the limit of logins with a passkey. Passwords have another one, so guesses at them block no passkey."""
    quota = settings().throttle_passkey_per_source
    return _client_ip_limit("passkey_source", client_ip, quota, exempt_from_lockouts=exempt_from_lockouts)


def refresh_limit(client_ip: str) -> Limit:
    """Return the limit of refresh tokens that are not valid."""
    return _client_ip_limit("refresh_source", client_ip, settings().throttle_refresh_per_source)


def client_limits(client_ip: str, name: str | None) -> list[Limit]:
    """Return the limits of failed authentications of clients.

    Args:
        client_ip: normalised.
        name: the name of the client, which may not exist. None if the request has none.

    """
    quota = settings().throttle_client_per_source
    by_client_ip = _client_ip_limit("client_source", client_ip, quota)
    return [by_client_ip, _client_ip_limit("client", name, quota)] if name else [by_client_ip]


def introspection_limit(client: str) -> Limit:
    """Return the limit of audit records about inactive tokens that a client introspects."""
    return _client_ip_limit("introspection", client, settings().throttle_client_per_source)


def registration_limit(client_ip: str) -> Limit:
    """Return the limit of registrations."""
    return _client_ip_limit("registration_source", client_ip, settings().throttle_registration_per_source)


def mail_request_limit(client_ip: str) -> Limit:
    """Return the limit of requests for a mail, and of mails of registrations."""
    window = timedelta(seconds=settings().throttle_window)
    return _fixed_limit("mail_source", settings().throttle_mail_per_source, window, client_ip)


def mail_token_limit(client_ip: str) -> Limit:
    """Return the limit of links and codes that are not valid."""
    return _client_ip_limit("mail_token_source", client_ip, settings().throttle_mail_token_per_source)


def mail_limits(request: MailRequestName, email: str, *subjects: str) -> list[Limit]:
    """Return the limits of the mails that any client may request for one address.

    Args:
        request: what is requested.
        email: normalised. It may have no account.
        subjects: the client IP, if the account is known to use it. It has a number of its own for the day, which other
            client IPs cannot use up.

    """
    return [
        _fixed_limit("mail_address", 1, _MAIL_PAUSE, request, email),
        _fixed_limit("mail_address_day", MAILS_PER_DAY, timedelta(days=1), request, email, *subjects),
    ]


def email_change_limit(user_id: UUID) -> Limit:
    """Return the limit of requests of an account to change its address."""
    return _fixed_limit("email_change", EMAIL_CHANGES_PER_DAY, timedelta(days=1), str(user_id))


def mail_to_address_limit(request: MailRequestName, email: str, client_ip: str) -> Limit:
    """Return the limit of the mails that one client IP may request for one address."""
    name, quota = "mail_address_source", MAILS_PER_DAY_FROM_CLIENT_IP
    return _fixed_limit(name, quota, timedelta(days=1), request, email, client_ip)


def credential_change_limit(user_id: UUID) -> Limit:
    """Return the limit of changes of an account's password and of its new passkeys."""
    return _fixed_limit("credential_change", CREDENTIAL_CHANGES_PER_DAY, timedelta(days=1), str(user_id))


def code_limit(email: str) -> Limit:
    """Return the limit of wrong codes at one address, from all client IPs together."""
    return _fixed_limit("mail_code", CODES_PER_DAY, timedelta(days=1), email)


def new_login_limit(user_id: UUID) -> Limit:
    """Return the counter of logins from new clients, whose lockout is the pause between two notices."""
    key = throttle_key("new_login_notice", str(user_id))
    return NewLoginLimit(name="new_login_notice", key=key, quota=1, window=_NEW_LOGINS_COUNTED_FOR)


def lockout_notice_limit(account: str) -> Limit:
    """Return the limit of notices of lockouts.

    Args:
        account: the id of the account, or an e-mail address that has none.

    """
    return _fixed_limit("lockout_notice", 1, LOCKOUT_NOTICE_PAUSE, account)


def bad_input_limit(client_ip: str) -> Limit:
    """Return the limit of audit records about rejected bodies and queries."""
    return _client_ip_limit("bad_input_source", client_ip, settings().throttle_bad_input_per_source)


def session_limit(name: SessionLimitName, session_id: UUID) -> Limit:
    """Return a limit of a session."""
    return _fixed_limit(name, HOURLY_CHALLENGES_PER_SESSION, timedelta(hours=1), str(session_id))


def account_key(email: str) -> bytes:
    """Return the key of an account's failed passwords from all client IPs."""
    return throttle_key("login_account", email)


def account_and_client_ip_key(email: str, client_ip: str) -> bytes:
    """Return the key of an account's failed passwords from one client IP."""
    return throttle_key("login_account_source", email, client_ip)


def second_factor_key(user_id: UUID) -> bytes:
    """Return the key of an account's failed second factors."""
    return throttle_key("second_factor", str(user_id))


def _client_ip_limit(name: str, client_ip: str, quota: int, *, exempt_from_lockouts: bool = False) -> Limit:
    return Limit(
        name=name,
        key=throttle_key(name, client_ip),
        quota=quota,
        window=timedelta(seconds=settings().throttle_window),
        exempt_from_lockouts=exempt_from_lockouts,
    )


def _fixed_limit(name: str, quota: int, window: timedelta, *subjects: str) -> Limit:
    """Return a limit beyond whose quota every attempt is rejected until the window ends."""
    return Limit(name=name, key=throttle_key(name, *subjects), quota=quota, window=window, max_failures=quota)


def _audit_retention() -> timedelta:
    # Failures are counted for as long as the audit log can show them.
    return timedelta(days=settings().audit_retention_days)

"""What is limited, and by how much: the numbers behind ``throttling.service``.

Two kinds of count. Failures *in a row* belong to an account: a success ends them. Failures *in a window of time* belong
to a source: a success of one's own account must not wipe out what one has tried on others.
"""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal
from uuid import UUID

from auth_common.keys.keyed_hashes import throttle_key
from auth_common.settings import settings

#: NIST SP 800-63B-4 section 3.2.2: no more than 100 failures in a row, then the authenticator is disabled.
MOST_IN_A_ROW: Final = 100
#: How many of them those may use up whose source is not known for the account. The rest is kept for its owner.
MOST_OF_STRANGERS: Final = 50
#: What has a limit for each session: ceremonies begun, and responses to challenges that are not valid.
SessionLimit = Literal["step_up_challenge", "registration_challenge", "invalid_challenge"]
#: How many of each a session has in an hour.
CHALLENGES_PER_SESSION: Final = 30
#: More than a counter holds.
_NO_CEILING: Final = 2**31 - 1
#: How long failures of one source at one account count.
_PAIR_WINDOW: Final = timedelta(days=1)
#: A provider hands out at least a /64 of IPv6 to each customer (RFC 6177): one person has all of its addresses.
_IPV6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One counter and its rules."""

    #: In header fields and security events.
    name: str
    key: bytes
    #: Failures until the first lock.
    budget: int
    #: How long a count lasts: from its beginning, or ``in_a_row`` from the last failure.
    window: timedelta
    #: Whether a success ends the count.
    in_a_row: bool = False
    #: The number of failures from which on nothing helps but the end of the count.
    ceiling: int = _NO_CEILING
    #: Whether attempts count but no lock keeps them off; the ceiling does.
    exempt: bool = False
    #: Whether it keeps a user from logging in.
    of_login: bool = True

    def lock_after(self, failures: int) -> timedelta | None:
        """Return how long nothing is tried after so many failures. Return None if it may be at once."""
        if failures >= self.ceiling:
            return self.window
        if self.exempt or failures < self.budget:
            return None
        # Capped before the power is taken: 2 ** 100000 is a long number.
        doublings = min(failures - self.budget, 32)
        return timedelta(seconds=min(settings().throttle_first_lock * 2**doublings, settings().throttle_longest_lock))


def source_of(address: str) -> str:
    """Return what an address is counted as: itself, or its /64 network in IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else (int(parsed) >> (128 - _IPV6_PREFIX)).to_bytes(8).hex()
    return str(parsed)


def of_login(*, email: str, source: str, is_known: bool) -> list[Limit]:
    """Return the limits of a login with a password. ``is_known``: the account has logged in from this source."""
    return [
        Limit(
            name="login_account_source",
            key=account_source_key(email, source),
            budget=settings().throttle_login_per_account_and_source,
            window=_PAIR_WINDOW,
            in_a_row=True,
        ),
        Limit(
            name="login_account",
            key=account_key(email),
            budget=settings().throttle_login_per_account,
            window=_memory(),
            in_a_row=True,
            ceiling=MOST_IN_A_ROW if is_known else MOST_OF_STRANGERS,
            exempt=is_known,
        ),
        _of_source("login_source", source, settings().throttle_login_per_source),
    ]


def of_second_factor(user_id: UUID) -> Limit:
    """Return the limit that all second factors of a user share."""
    return Limit(
        name="second_factor",
        key=second_factor_key(user_id),
        budget=settings().throttle_second_factor_per_account,
        window=_memory(),
        in_a_row=True,
        ceiling=MOST_IN_A_ROW,
    )


def of_passkeys(source: str, *, exempt: bool = False) -> Limit:
    """Return the limit of logins with a passkey. Not that of passwords: guessing at those must leave passkeys alone."""
    return _of_source("passkey_source", source, settings().throttle_passkey_per_source, exempt=exempt)


def of_refreshes(source: str) -> Limit:
    """Return the limit of refresh tokens that are not valid."""
    return _of_source("refresh_source", source, settings().throttle_refresh_per_source, of_login=False)


def of_registrations(source: str) -> Limit:
    """Return the limit of registrations."""
    return _of_source("registration_source", source, settings().throttle_registration_per_source, of_login=False)


def of_session(name: SessionLimit, session_id: UUID) -> Limit:
    """Return a limit of what one session may do in an hour."""
    return Limit(
        name=name,
        key=throttle_key(name, str(session_id)),
        budget=CHALLENGES_PER_SESSION,
        window=timedelta(hours=1),
        ceiling=CHALLENGES_PER_SESSION,
        of_login=False,
    )


def of_bad_input(source: str) -> Limit:
    """Return the limit of refused bodies and queries that the audit log takes."""
    return _of_source("bad_input_source", source, settings().throttle_bad_input_per_source, of_login=False)


def account_key(email: str) -> bytes:
    """Return the key of an account's failures with the password, whatever their source."""
    return throttle_key("login_account", email)


def account_source_key(email: str, source: str) -> bytes:
    """Return the key of an account's failures with the password from one client IP."""
    return throttle_key("login_account_source", email, source)


def second_factor_key(user_id: UUID) -> bytes:
    """Return the key of an account's failures with a second factor."""
    return throttle_key("second_factor", str(user_id))


def _of_source(name: str, source: str, budget: int, *, of_login: bool = True, exempt: bool = False) -> Limit:
    window = timedelta(seconds=settings().throttle_window)
    key = throttle_key(name, source)
    return Limit(name=name, key=key, budget=budget, window=window, of_login=of_login, exempt=exempt)


def _memory() -> timedelta:
    # As long as the audit log can tell of those failures.
    return timedelta(days=settings().audit_retention_days)

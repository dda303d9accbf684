"""Rate limits: set them, use them up, make them expire, and read their counters."""

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from auth_common.database.tables import audit_events, throttles
from auth_common.keys.keyed_hashes import throttle_key
from tests.support.databases import Database, start_fresh_environment
from tests.support.factories import EMAIL, log_in, refresh, register, sign_up
from tests.support.functions import Answer
from tests.support.passkeys import Ceremony, Holder, anonymously, begin_login, complete_login, enrol

#: A client IP that is not known for the account. Requests in tests have another one by default.
ELSEWHERE = "198.51.100.23"
WRONG = "another password entirely"
UNKNOWN = "nobody@example.com"
_AUDIT_RETENTION = 34_560_000


def use_limits(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """Set limits of a new environment: ``login_per_account=5`` sets THROTTLE_LOGIN_PER_ACCOUNT."""
    for name, value in limits.items():
        monkeypatch.setenv(f"THROTTLE_{name.upper()}", str(value))
    start_fresh_environment()


def let_locks_end(database: Database) -> None:
    """Make every lockout expired. The counts stay."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).where(throttles.c.locked_until.is_not(None)).values(locked_until=past))


def let_counts_end(database: Database) -> None:
    """Make every count and every lockout expired."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).values(expires_at=past))
    let_locks_end(database)


def rows(database: Database) -> list[Any]:
    """Return the rows of the table ``throttles``, ordered by key."""
    return sorted(database.execute(throttles.select()), key=lambda row: row.key)


def failures(database: Database) -> dict[bytes, int]:
    """Return the number of counted attempts by the counter's key, without the counters that are 0."""
    return {row.key: row.failures for row in rows(database) if row.failures}


def counted(database: Database, name: str, *subjects: str) -> int:
    """Return the number of attempts that the limit ``name`` has counted for ``subjects``."""
    return failures(database).get(throttle_key(name, *subjects), 0)


def recorded_failures(database: Database) -> Counter[tuple[Any, ...]]:
    """Return the number of failures in the audit log by event name and reason."""
    failed = select(audit_events.c.name, audit_events.c.reason).where(audit_events.c.outcome == "failure")
    return Counter((row.name, row.reason) for row in database.execute(failed))


def guess(email: str = EMAIL, **identity: str) -> Answer:
    """Log in with a wrong password."""
    return log_in(email, WRONG, **identity)


def with_broken_signature(holder: Holder, ceremony: Ceremony) -> dict[str, Any]:
    """Return an assertion for ``ceremony`` by the holder's authenticator, with an invalid signature."""
    credential = deepcopy(holder.authenticator.authenticate(ceremony["options"]))
    credential["response"]["signature"] = "AAAA"
    return credential


class Limit:
    """A rate limit that rejects attempts. Creating an instance creates the accounts that its attempts need."""

    name: ClassVar[str]
    #: The end of the setting's name, after THROTTLE_.
    setting: ClassVar[str]
    #: How long an attempt is counted, in seconds.
    window: ClassVar[int] = 3_600
    #: The status of an attempt that is counted.
    status: ClassVar[int] = 401
    #: The beginning of an SQL statement that every successful attempt executes.
    needs: ClassVar[str]

    def attempt(self, number: int, /) -> Answer:
        """Make an attempt that is counted."""
        raise NotImplementedError

    def succeed(self) -> Answer:
        """Make an attempt that succeeds, outside a lockout."""
        raise NotImplementedError

    def attempt_of_another(self) -> Answer:
        """Make an attempt from another client IP or at another account, which has its own counter."""
        raise NotImplementedError

    def allowed(self) -> list[Answer]:
        """Make requests that a lockout does not stop and that succeed."""
        raise NotImplementedError


class LoginAtAccountFromClientIP(Limit):
    name = "login_account_source"
    setting = "login_per_account_and_source"
    window = 86_400
    needs = "INSERT INTO sessions"
    email = EMAIL

    def __init__(self) -> None:
        register()

    def attempt(self, _number: int, /) -> Answer:
        return guess(self.email)

    def succeed(self) -> Answer:
        return log_in()

    def attempt_of_another(self) -> Answer:
        return guess(self.email, sourceIp=ELSEWHERE)

    def allowed(self) -> list[Answer]:
        return [log_in(sourceIp=ELSEWHERE)]


class LoginAtUnknownAddress(LoginAtAccountFromClientIP):
    """The same limit for an address without an account."""

    email = UNKNOWN

    def succeed(self) -> Answer:
        register(email=UNKNOWN)
        return log_in(UNKNOWN)


class LoginAtAccount(LoginAtAccountFromClientIP):
    name = "login_account"
    setting = "login_per_account"
    window = _AUDIT_RETENTION

    def __init__(self) -> None:
        sign_up()

    def attempt(self, number: int, /) -> Answer:
        return guess(sourceIp=f"192.0.2.{number}")

    def succeed(self) -> Answer:
        return log_in(sourceIp=ELSEWHERE)

    def attempt_of_another(self) -> Answer:
        return guess(UNKNOWN, sourceIp=ELSEWHERE)

    def allowed(self) -> list[Answer]:
        return [log_in()]  # From a client IP that is known for the account.


class LoginFromClientIP(LoginAtAccountFromClientIP):
    name = "login_source"
    setting = "login_per_source"
    window = 3_600

    def attempt(self, number: int, /) -> Answer:
        return guess(f"person{number}@example.com")

    def attempt_of_another(self) -> Answer:
        return guess("person0@example.com", sourceIp=ELSEWHERE)


class SecondFactor(Limit):
    name = "second_factor"
    setting = "second_factor_per_account"
    window = _AUDIT_RETENTION
    needs = "INSERT INTO sessions"

    def __init__(self) -> None:
        self.holder = enrol()
        self.mfa_token = self.holder.give_password()
        #: Begun before the lockout, as each ceremony of a concurrent burst is.
        self.ceremonies = [begin_login(self.mfa_token) for _ in range(20)]

    def attempt(self, _number: int, /) -> Answer:
        ceremony = self.ceremonies.pop()
        return complete_login(ceremony, with_broken_signature(self.holder, ceremony))

    def succeed(self) -> Answer:
        begun = anonymously("/webauthn/login/begin", {"mfa_token": self.mfa_token})
        if begun.status != 200:
            return begun
        return complete_login(begun.json, self.holder.authenticator.authenticate(begun.json["options"]))

    def attempt_of_another(self) -> Answer:
        other = enrol(sign_up("other@example.com"))
        ceremony = begin_login(other.give_password())
        return complete_login(ceremony, with_broken_signature(other, ceremony))

    def allowed(self) -> list[Answer]:
        return [self.holder.log_in_alone()]


class PasskeyFromClientIP(Limit):
    name = "passkey_source"
    setting = "passkey_per_source"
    status = 400
    needs = "INSERT INTO sessions"

    def __init__(self) -> None:
        self.holder = enrol()

    def attempt(self, _number: int, /) -> Answer:
        return complete_login({"challenge_id": str(uuid4())}, {})

    def succeed(self) -> Answer:
        return self.holder.log_in_alone()

    def attempt_of_another(self) -> Answer:
        body = {"challenge_id": str(uuid4()), "credential": {}}
        return anonymously("/webauthn/login/complete", body, sourceIp=ELSEWHERE)

    def allowed(self) -> list[Answer]:
        return [log_in()]  # A login with a password has its own counter.


class RefreshFromClientIP(Limit):
    """The limit of rejected refresh tokens. Valid tokens are not counted, because they cannot be guessed."""

    name = "refresh_source"
    setting = "refresh_per_source"
    needs = "SELECT refresh_tokens"

    def __init__(self) -> None:
        self.token = sign_up().refresh_token

    def attempt(self, _number: int, /) -> Answer:
        return refresh("rt_unknown")

    def succeed(self) -> Answer:
        answer = refresh(self.token)
        if answer.status == 200:
            self.token = answer.json["refresh_token"]
        return answer

    def attempt_of_another(self) -> Answer:
        return refresh("rt_unknown", sourceIp=ELSEWHERE)

    def allowed(self) -> list[Answer]:
        return [self.succeed()]


class RegistrationFromClientIP(Limit):
    name = "registration_source"
    setting = "registration_per_source"
    status = 201
    needs = "INSERT INTO users"

    def attempt(self, number: int, /) -> Answer:
        return register(email=f"person{number}@example.com")

    def succeed(self) -> Answer:
        return register(email="new@example.com")

    def attempt_of_another(self) -> Answer:
        return register({"sourceIp": ELSEWHERE}, email="elsewhere@example.com")

    def allowed(self) -> list[Answer]:
        return [log_in("person0@example.com")]


#: All limits that reject attempts. THROTTLE_BAD_INPUT_PER_SOURCE is missing because it only limits audit records.
LIMITS: list[type[Limit]] = [
    LoginAtAccountFromClientIP,
    LoginAtUnknownAddress,
    LoginAtAccount,
    LoginFromClientIP,
    SecondFactor,
    PasskeyFromClientIP,
    RefreshFromClientIP,
    RegistrationFromClientIP,
]

"""Rate limits: set them, use them up, make them expire, and read their counters."""

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from auth_common.database.privileges import CLIENTS_ROLE, SERVICE_ROLE
from auth_common.database.tables import audit_events, throttles
from auth_common.keys.keyed_hashes import throttle_key
from tests.support.clients import NAME, register_client, request_token
from tests.support.databases import Database, start_fresh_environment
from tests.support.factories import EMAIL, PASSWORD, log_in, refresh, register, sign_up
from tests.support.functions import Response
from tests.support.mail_links import newest_mail, request_verification, verify_email
from tests.support.passkeys import Ceremony, PasskeyHolder, begin_login, complete_login, enrol, post_without_token

#: A client IP that is not known for the account. Requests in tests have another one by default.
OTHER_CLIENT_IP = "198.51.100.23"
WRONG_PASSWORD = "another password entirely"
UNKNOWN_EMAIL = "nobody@example.com"
_AUDIT_RETENTION = 34_560_000


def use_limits(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """Set limits of a new environment: ``login_per_account=5`` sets THROTTLE_LOGIN_PER_ACCOUNT."""
    for name, value in limits.items():
        monkeypatch.setenv(f"THROTTLE_{name.upper()}", str(value))
    start_fresh_environment()


def expire_lockouts(database: Database) -> None:
    """Make every lockout expired. The counts stay."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).where(throttles.c.locked_until.is_not(None)).values(locked_until=past))


def expire_counts(database: Database) -> None:
    """Make every count and every lockout expired."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(throttles).values(expires_at=past))
    expire_lockouts(database)


def counter_rows(database: Database) -> list[Any]:
    """Return the rows of the table ``throttles``, ordered by key."""
    return sorted(database.execute(throttles.select()), key=lambda row: row.key)


def attempt_counts(database: Database) -> dict[bytes, int]:
    """Return the number of counted attempts by the counter's key, without the counters that are 0."""
    return {row.key: row.failures for row in counter_rows(database) if row.failures}


def count_of(database: Database, name: str, *subjects: str) -> int:
    """Return the number of attempts that the limit ``name`` has counted for ``subjects``."""
    return attempt_counts(database).get(throttle_key(name, *subjects), 0)


def recorded_failures(database: Database) -> Counter[tuple[Any, ...]]:
    """Return the number of failures in the audit log by event name and reason."""
    failed = select(audit_events.c.name, audit_events.c.reason).where(audit_events.c.outcome == "failure")
    return Counter((row.name, row.reason) for row in database.execute(failed))


def guess_password(email: str = EMAIL, **identity: str) -> Response:
    """Log in with a wrong password."""
    return log_in(email, WRONG_PASSWORD, **identity)


def with_broken_signature(holder: PasskeyHolder, ceremony: Ceremony) -> dict[str, Any]:
    """Return an assertion for ``ceremony`` by the holder's authenticator, with an invalid signature."""
    credential = deepcopy(holder.authenticator.authenticate(ceremony["options"]))
    credential["response"]["signature"] = "AAAA"
    return credential


class Limit:
    """A rate limit that rejects attempts. Creating an instance creates the accounts that its attempts need."""

    name: ClassVar[str]
    #: The database of the test.
    database: ClassVar[Database]
    #: The end of the setting's name, after THROTTLE_.
    setting: ClassVar[str]
    #: How long an attempt is counted, in seconds.
    window: ClassVar[int] = 3_600
    #: Whether a lockout ends with the window. Otherwise it begins with 30 seconds and doubles.
    is_fixed: ClassVar[bool] = False
    #: The status of an attempt that is counted.
    status: ClassVar[int] = 401
    #: The error of an attempt in a lockout.
    code: ClassVar[str] = "too_many_attempts"
    #: The role in the database of the function that handles an attempt.
    role: ClassVar[str] = SERVICE_ROLE
    #: The beginning of an SQL statement that every successful attempt executes.
    needs: ClassVar[str]

    def end_lockout(self) -> None:
        """Let the lockout end, and with it the window of a fixed limit."""
        (expire_counts if self.is_fixed else expire_lockouts)(self.database)

    def attempt(self, number: int, /) -> Response:
        """Make an attempt that is counted."""
        raise NotImplementedError

    def succeed(self) -> Response:
        """Make an attempt that succeeds, outside a lockout."""
        raise NotImplementedError

    def attempt_of_another(self) -> Response:
        """Make an attempt from another client IP or at another account, which has its own counter."""
        raise NotImplementedError

    def allowed(self) -> list[Response]:
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

    def attempt(self, _number: int, /) -> Response:
        return guess_password(self.email)

    def succeed(self) -> Response:
        return log_in()

    def attempt_of_another(self) -> Response:
        return guess_password(self.email, sourceIp=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [log_in(sourceIp=OTHER_CLIENT_IP)]


class LoginAtUnknownAddress(LoginAtAccountFromClientIP):
    """The same limit for an address without an account."""

    email = UNKNOWN_EMAIL

    def succeed(self) -> Response:
        register(email=UNKNOWN_EMAIL)
        return log_in(UNKNOWN_EMAIL)


class LoginAtAccount(LoginAtAccountFromClientIP):
    name = "login_account"
    setting = "login_per_account"
    window = _AUDIT_RETENTION

    def __init__(self) -> None:
        sign_up()

    def attempt(self, number: int, /) -> Response:
        return guess_password(sourceIp=f"192.0.2.{number}")

    def succeed(self) -> Response:
        return log_in(sourceIp=OTHER_CLIENT_IP)

    def attempt_of_another(self) -> Response:
        return guess_password(UNKNOWN_EMAIL, sourceIp=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [log_in()]  # From a client IP that is known for the account.


class LoginFromClientIP(LoginAtAccountFromClientIP):
    name = "login_source"
    setting = "login_per_source"
    window = 3_600

    def attempt(self, number: int, /) -> Response:
        return guess_password(f"person{number}@example.com")

    def attempt_of_another(self) -> Response:
        return guess_password("person0@example.com", sourceIp=OTHER_CLIENT_IP)


class SecondFactor(Limit):
    name = "second_factor"
    setting = "second_factor_per_account"
    window = _AUDIT_RETENTION
    needs = "INSERT INTO sessions"

    def __init__(self) -> None:
        self.holder = enrol()
        self.mfa_token = self.holder.get_mfa_token()
        #: Logins that begin before the lockout, so that a burst can complete them at the same time.
        self.ceremonies = [begin_login(self.mfa_token) for _ in range(20)]

    def attempt(self, _number: int, /) -> Response:
        ceremony = self.ceremonies.pop()
        return complete_login(ceremony, with_broken_signature(self.holder, ceremony))

    def succeed(self) -> Response:
        begun = post_without_token("/webauthn/login/begin", {"mfa_token": self.mfa_token})
        if begun.status != 200:
            return begun
        return complete_login(begun.json, self.holder.authenticator.authenticate(begun.json["options"]))

    def attempt_of_another(self) -> Response:
        other = enrol(sign_up("other@example.com"))
        ceremony = begin_login(other.get_mfa_token())
        return complete_login(ceremony, with_broken_signature(other, ceremony))

    def allowed(self) -> list[Response]:
        return [self.holder.log_in_with_passkey_alone()]


class PasskeyFromClientIP(Limit):
    name = "passkey_source"
    setting = "passkey_per_source"
    status = 400
    needs = "INSERT INTO sessions"

    def __init__(self) -> None:
        self.holder = enrol()

    def attempt(self, _number: int, /) -> Response:
        return complete_login({"challenge_id": str(uuid4())}, {})

    def succeed(self) -> Response:
        return self.holder.log_in_with_passkey_alone()

    def attempt_of_another(self) -> Response:
        body = {"challenge_id": str(uuid4()), "credential": {}}
        return post_without_token("/webauthn/login/complete", body, sourceIp=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [log_in()]  # A login with a password has its own counter.


class RefreshFromClientIP(Limit):
    """The limit of rejected refresh tokens. Valid tokens are not counted, because they cannot be guessed."""

    name = "refresh_source"
    setting = "refresh_per_source"
    needs = "SELECT refresh_tokens"

    def __init__(self) -> None:
        self.token = sign_up().refresh_token

    def attempt(self, _number: int, /) -> Response:
        return refresh("rt_unknown")

    def succeed(self) -> Response:
        response = refresh(self.token)
        if response.status == 200:
            self.token = response.json["refresh_token"]
        return response

    def attempt_of_another(self) -> Response:
        return refresh("rt_unknown", sourceIp=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [self.succeed()]


class ClientsFromClientIP(Limit):
    """The limit of failed authentications of clients. Valid credentials are not counted."""

    name = "client_source"
    setting = "client_per_source"
    code = "temporarily_unavailable"
    role = CLIENTS_ROLE
    needs = "SELECT clients"

    def __init__(self) -> None:
        self.secret = register_client()

    def attempt(self, number: int, /) -> Response:
        return request_token(client_id=f"unknown{number}", client_secret="wrong")

    def succeed(self) -> Response:
        return request_token(client_id=NAME, client_secret=self.secret)

    def attempt_of_another(self) -> Response:
        return request_token(client_id=NAME, client_secret="wrong", client_ip=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [self.succeed()]


class ClientFromAllClientIPs(ClientsFromClientIP):
    """The limit of one client, which attempts from many client IPs reach."""

    name = "client"

    def attempt(self, number: int, /) -> Response:
        return request_token(client_id=NAME, client_secret="wrong", client_ip=f"192.0.2.{number}")

    def attempt_of_another(self) -> Response:
        return request_token(client_id="unknown", client_secret="wrong", client_ip=OTHER_CLIENT_IP)


class RegistrationFromClientIP(Limit):
    name = "registration_source"
    setting = "registration_per_source"
    status = 201
    needs = "INSERT INTO users"

    def attempt(self, number: int, /) -> Response:
        return register(email=f"person{number}@example.com")

    def succeed(self) -> Response:
        return register(email="new@example.com")

    def attempt_of_another(self) -> Response:
        return register({"sourceIp": OTHER_CLIENT_IP}, email="elsewhere@example.com")

    def allowed(self) -> list[Response]:
        return [log_in("person0@example.com")]


class MailFromClientIP(Limit):
    """The limit of requests for a mail. Each of them is accepted, so each is counted."""

    name = "mail_source"
    setting = "mail_per_source"
    is_fixed = True
    status = 202
    needs = "INSERT INTO mail_tokens"

    def attempt(self, number: int, /) -> Response:
        return request_verification(f"person{number}@example.com")

    def succeed(self) -> Response:
        return request_verification("new@example.com")

    def attempt_of_another(self) -> Response:
        return request_verification("elsewhere@example.com", sourceIp=OTHER_CLIENT_IP)

    def allowed(self) -> list[Response]:
        return [register()]


class MailTokenFromClientIP(Limit):
    """The limit of links that are not valid."""

    name = "mail_token_source"
    setting = "mail_token_per_source"
    status = 400
    needs = "UPDATE users SET status"

    def __init__(self) -> None:
        register()
        self.token = newest_mail(self.database, EMAIL, "verify_email").token

    def attempt(self, _number: int, /) -> Response:
        return verify_email(token="mt_unknown", password=PASSWORD)

    def succeed(self) -> Response:
        return verify_email(token=self.token, password=PASSWORD)

    def attempt_of_another(self) -> Response:
        return verify_email(token="mt_unknown", password=PASSWORD, identity={"sourceIp": OTHER_CLIENT_IP})

    def allowed(self) -> list[Response]:
        return [log_in()]


#: All limits that reject attempts. THROTTLE_BAD_INPUT_PER_SOURCE is missing because it only limits audit records.
LIMITS: list[type[Limit]] = [
    LoginAtAccountFromClientIP,
    LoginAtUnknownAddress,
    LoginAtAccount,
    LoginFromClientIP,
    SecondFactor,
    PasskeyFromClientIP,
    RefreshFromClientIP,
    ClientsFromClientIP,
    ClientFromAllClientIPs,
    RegistrationFromClientIP,
    MailFromClientIP,
    MailTokenFromClientIP,
]

"""How many statements and round trips each call needs. A distant database takes some milliseconds for each round trip.

``python -m benchmarks round-trips`` prints the same figures with the time of each call.
"""

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import create_engine, update
from sqlalchemy.pool import NullPool

from auth_common.database.tables import throttles, users
from tests.support.databases import start_fresh_environment
from tests.support.factories import Account, log_in, register
from tests.support.functions import Response, authorize, call
from tests.support.mail_links import change_email, request_reset, request_verification, verify_email
from tests.support.measured_calls import MEASURED_CALLS, SETTINGS
from tests.support.round_trips import counting_proxy
from tests.support.throttles import guess_password

pytestmark = [pytest.mark.operations]

#: The statements, without BEGIN and COMMIT, and the round trips of each call on a connection that is in use.
BOUNDS: Final = {
    "GET /users/{id}": (1, 1),
    "POST /login, right password": (11, 4),
    "POST /login, wrong password": (4, 4),
    "POST /login, unknown address": (4, 4),
    "POST /login, notice of a new client": (16, 6),
    "POST /login, during a lockout": (3, 3),
    "POST /login, replaced session": (15, 5),
    "POST /login, passkey must follow": (8, 4),
    "POST /token/refresh": (5, 3),
    "POST /token/refresh, lost response": (2, 2),
    "POST /token/refresh, spent token": (4, 3),
    "POST /token/refresh, unknown token": (4, 5),
    "POST /users, new address": (9, 4),
    "POST /users, taken address": (7, 8),
    "POST /users, new address, neutral": (9, 4),
    "POST /users, taken address, neutral": (9, 4),
    "POST /users, new address, verification required": (8, 4),
    "POST /users, taken address, verification required": (8, 4),
    "POST /webauthn/login/begin, alone": (0, 0),
    "POST /webauthn/login/complete, alone": (10, 6),
    "POST /webauthn/login/begin, second factor": (2, 2),
    "POST /webauthn/login/complete, second factor": (11, 6),
    "POST /webauthn/login/complete, wrong response": (5, 5),
    "POST /webauthn/login/complete, unknown passkey": (5, 5),
    "POST /webauthn/register/begin": (4, 4),
    "POST /webauthn/register/complete": (11, 9),
    "POST /password/reset, known address": (7, 5),
    "POST /password/reset, unknown address": (7, 5),
    "POST /token": (3, 3),
    "POST /introspect": (2, 2),
    "POST /revoke": (3, 3),
    "POST /logout": (3, 3),
    "DELETE /sessions": (5, 5),
    "PUT /users/{id}/password": (12, 11),
    "POST /step-up, password": (6, 5),
    "POST /step-up, begin with a passkey": (4, 4),
    "POST /step-up, complete with a passkey": (8, 7),
}
#: An attacker who measures the round trips must not learn which of two situations a call met.
INDISTINGUISHABLE: Final = {
    "POST /login, wrong password": "POST /login, unknown address",
    "POST /webauthn/login/complete, wrong response": "POST /webauthn/login/complete, unknown passkey",
    "POST /password/reset, known address": "POST /password/reset, unknown address",
    "POST /users, new address, neutral": "POST /users, taken address, neutral",
    "POST /users, new address, verification required": "POST /users, taken address, verification required",
}


@pytest.fixture
def traffic_of(database, postgres, monkeypatch):
    """Return a function that makes a call on a connection that is in use, and returns what it sent to PostgreSQL."""

    def traffic_of(name):
        measured = MEASURED_CALLS[name]
        for setting, value in {**SETTINGS, **measured.settings}.items():
            monkeypatch.setenv(setting, value)
        with counting_proxy(postgres.socket) as traffic:
            start_fresh_environment()
            with closing(measured.requests(database)) as requests:
                for _ in range(2):  # The first call opens the connection.
                    request = next(requests)
                    traffic.clear()
                    response = call(request.function, request.event)
                    assert response.status == request.status, response.text
                return traffic

    return traffic_of


@pytest.mark.parametrize("name", MEASURED_CALLS)
@pytest.mark.parametrize("database", ["postgresql", "auroradsql"], indirect=True)
def test_call_needs_the_listed_statements_and_round_trips(traffic_of, name):
    traffic = traffic_of(name)
    found = traffic.statements, traffic.round_trips
    assert found == BOUNDS[name], f"{name}: {found}. If it needs less than before, lower the bound.\n{traffic}"


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
def test_known_and_unknown_addresses_have_the_same_bounds():
    """``test_call_needs_the_listed_statements_and_round_trips`` proves that the bounds are exact."""
    assert [BOUNDS[known] for known in INDISTINGUISHABLE] == [BOUNDS[unknown] for unknown in INDISTINGUISHABLE.values()]


AT_HOME = {"sourceIp": "203.0.113.77"}


def _reserve(database, email):
    pair = log_in(email, **AT_HOME).json
    user_id = authorize(pair["access_token"])["context"]["user_id"]
    change_email(database, Account(user_id, email, pair["access_token"], pair["refresh_token"]), f"new.{email}")


#: What an account has become since its registration. The last one has left the address, which is reserved for it.
ACCOUNTS: Final[dict[str, dict[str, Any]]] = {
    "unverified": {"status": "unverified"},
    "active": {"status": "active"},
    "verified": {"status": "active", "email_verified_at": datetime.now(UTC)},
    "disabled": {"status": "disabled", "email_verified_at": datetime.now(UTC)},
    "moved": {"status": "active", "email_verified_at": datetime.now(UTC)},
}
#: Calls of an attacker who knows only an address, also repeated and in a lockout.
ATTACKS: Final[dict[str, list[Callable[[str], Response]]]] = {
    "guess the password": [guess_password] * 5,
    "register": [lambda email: register(email=email)] * 2,
    "register during a lockout": [*[guess_password] * 3, lambda email: register(email=email)],
    "reset": [request_reset] * 2,
    "verify": [*[request_verification] * 2, lambda email: verify_email(email=email, code="AAAA-AAAA", password="x")],
}


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.parametrize("pipelined", ["true", "false"])
@pytest.mark.parametrize("mode", [{"NEUTRAL_REGISTRATION": "true"}, {"EMAIL_VERIFICATION": "required"}], ids=list)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_attacker_measures_the_same_round_trips_for_every_address(database, postgres, monkeypatch, mode, pipelined):
    lockouts = {"THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE": "3", "DATABASE_PIPELINE": pipelined}
    for setting, value in {**SETTINGS, **lockouts, **mode}.items():
        monkeypatch.setenv(setting, value)
    with counting_proxy(postgres.socket) as traffic:
        start_fresh_environment()
        guess_password("first@example.com")  # Opens the connection.
        for attack, calls in ATTACKS.items():
            measured: dict[str, list[tuple[int, int, int]]] = {}
            for number, name in enumerate(["unknown", *ACCOUNTS]):
                email = f"{name}{number}.{attack.replace(' ', '')}@example.com"
                if name in ACCOUNTS:
                    register(AT_HOME, email=email)
                    database.execute(update(users).where(users.c.email == email).values(ACCOUNTS[name]))
                if name == "moved":
                    _reserve(database, email)
                database.execute(throttles.delete())
                measured[name] = []
                for send in calls:
                    traffic.clear()
                    response = send(email)
                    measured[name].append((response.status, traffic.statements, traffic.round_trips))
            assert measured == dict.fromkeys(measured, measured["unknown"]), attack


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_proxy_counts_a_pipeline_once_and_no_preparation(database, postgres):
    with (
        counting_proxy(postgres.socket) as traffic,
        create_engine(database.url, poolclass=NullPool).connect() as connection,
    ):
        driver: Any = connection.connection.dbapi_connection
        traffic.clear()
        for number in range(5):
            driver.execute("SELECT %s::integer", [number], prepare=number == 4)
        driver.commit()
        assert (traffic.statements, traffic.round_trips, traffic.commits) == (5, 7, 1)
        traffic.clear()
        driver.autocommit = True  # psycopg waits for the result of BEGIN
        with driver.pipeline():
            for number in range(3):
                driver.execute("SELECT %s::integer", [number])
        assert (traffic.statements, traffic.round_trips, traffic.commits) == (3, 1, 0)
        traffic.clear()
        # The server sends an error at once, while the client may send further statements.
        with suppress(psycopg.Error), driver.pipeline():
            for _ in range(3):
                driver.execute("SELECT 1 / 0")
        assert traffic.round_trips == 1
        traffic.clear()
        driver.execute("DELETE FROM throttles")
        assert (traffic.statements, traffic.round_trips, traffic.commits) == (1, 1, 1)

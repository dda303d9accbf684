"""An attacker guesses passwords for an address without an account. Then the user registers with this address."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import users
from auth_common.throttling.known_clients import CLIENT_KNOWN_FOR
from auth_common.throttling.limits import MAX_FAILURES_FROM_UNKNOWN_IPS
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL, erase, log_in, register
from tests.support.outages import UNAVAILABLE, failing_statements
from tests.support.throttles import OTHER_CLIENT_IP, count_of, expire_lockouts, guess_password

pytestmark = [pytest.mark.accounts, pytest.mark.throttling]

AT_WORK = {"sourceIp": "198.51.100.77"}


def lock_address(database, *, guesses=MAX_FAILURES_FROM_UNKNOWN_IPS):
    """Fail one login from each of many client IPs, until the address is locked for 400 days."""
    for number in range(guesses):
        assert guess_password(sourceIp=f"192.0.2.{number}").status == 401
        expire_lockouts(database)


@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-lockout-of-others")
@pytest.mark.aurora_dsql
def test_lockout_of_an_address_ends_when_its_account_is_created(database):
    lock_address(database)
    assert guess_password(sourceIp=OTHER_CLIENT_IP).status == 429
    assert register().status == 201
    assert log_in().status == 200
    assert log_in(**AT_WORK).status == 200


def test_registration_clears_failures_of_its_client_ip(database):
    for _ in range(10):
        guess_password()
    assert guess_password().status == 429
    assert register().status == 201
    assert log_in().status == 200


@pytest.mark.sqlite
def test_lockout_ends_at_registration_that_is_neutral_or_after_erasure(database, monkeypatch):
    register()
    erase()
    lock_address(database)
    assert register().status == 201
    assert log_in(**AT_WORK).status == 200
    erase()
    lock_address(database)
    monkeypatch.setenv("NEUTRAL_REGISTRATION", "true")
    start_fresh_environment()
    assert register().status == 202
    assert log_in(**AT_WORK).status == 200


@pytest.mark.threat("function-password-guessing")
def test_registration_of_a_taken_address_clears_no_counter(database, monkeypatch):
    """Otherwise an attacker could clear the counters with a registration, and guess without a limit.

    The registration must not make the attacker's client IP known for the account either.
    """
    register()
    for _ in range(3):
        guess_password(sourceIp=OTHER_CLIENT_IP)
    for neutral, status in (("false", 409), ("true", 202)):
        monkeypatch.setenv("NEUTRAL_REGISTRATION", neutral)
        start_fresh_environment()
        assert register({"sourceIp": OTHER_CLIENT_IP}).status == status
        assert count_of(database, "login_account", EMAIL) == 3
        assert count_of(database, "login_account_source", EMAIL, OTHER_CLIENT_IP) == 3
    lock_address(database, guesses=MAX_FAILURES_FROM_UNKNOWN_IPS - 3)
    assert log_in(sourceIp=OTHER_CLIENT_IP).status == 429


@pytest.mark.threat("function-password-guessing")
def test_failed_or_other_registration_clears_no_counter(database):
    for _ in range(3):
        guess_password()
    assert register(password="short").status == 422
    with failing_statements("INSERT INTO audit_events", error=UNAVAILABLE):
        assert register().status == 503
    assert register(email="attacker@example.com").status == 201
    assert count_of(database, "login_account", EMAIL) == count_of(database, "login_source", SOURCE_IP) == 3
    assert count_of(database, "login_account_source", EMAIL, SOURCE_IP) == 3


@pytest.mark.threat("function-lockout-of-others")
@pytest.mark.aurora_dsql
def test_client_ip_of_the_registration_is_known_for_the_account(database):
    """An attacker who waits for the registration cannot lock the user out. The client IP is stored as a hash."""
    register()
    assert SOURCE_IP not in str(database.execute(users.select()))
    lock_address(database)
    assert log_in(**AT_WORK).status == 429
    assert log_in().status == 200


@pytest.mark.sqlite
@pytest.mark.parametrize("why", ["too long ago", "all sessions were revoked"])
def test_client_ip_of_the_registration_is_forgotten(database, why):
    register()
    if why == "too long ago":
        database.execute(update(users).values(created_at=datetime.now(UTC) - CLIENT_KNOWN_FOR))
    else:
        accounts.revoke_sessions_of(EMAIL)
    lock_address(database)
    assert log_in().status == 429

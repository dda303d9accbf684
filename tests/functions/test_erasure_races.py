"""An erasure at the same time as requests of its user: no salt stays, and no record leads to a client IP.

SQLite has no such order of events, because its transactions that write run one after the other.
"""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import select

from auth_common.database.tables import audit_events, audit_salts, refresh_tokens, sessions, users
from tests.support.factories import erase, log_in, log_out, refresh, sign_up
from tests.support.races import (
    before_statement,
    on_each_postgresql_isolation,
    wait_until_blocked,
    while_a_password_is_checked,
)

pytestmark = [pytest.mark.accounts, pytest.mark.audit]

REQUESTS = {
    "login": lambda person: log_in(person.email),
    "refresh": lambda person: refresh(person.refresh_token),
    "logout": lambda person: log_out(person.access_token),
}
#: For each request: the statement before which it has read the user, and no lock holds the erasure up.
AFTER_READING = {"refresh": "UPDATE refresh_tokens", "logout": "UPDATE sessions"}
#: For each request: the statement before which it holds a lock for which the erasure waits.
AFTER_LOCKING = {
    "login": "INSERT INTO sessions",
    "refresh": "INSERT INTO refresh_tokens",
    "logout": "INSERT INTO audit",
}


@pytest.fixture
def person(database, isolation):
    return sign_up()


@pytest.fixture
def elsewhere():
    """Another environment."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def assert_erased(database, person):
    assert [database.count(table) for table in (users, sessions, refresh_tokens, audit_salts)] == [0, 0, 0, 0]
    of_person = select(audit_events.c.source).where(audit_events.c.user_id == UUID(person.id))
    assert {row.source for row in database.execute(of_person)} == {None}


@pytest.mark.asvs("14.2.7", "15.4.2")
@on_each_postgresql_isolation
@pytest.mark.parametrize("name", AFTER_READING)
def test_request_that_has_read_an_erased_user_leaves_no_trace(database, person, name):
    """The request has read the salt. The record of its rejection must not use it."""
    with before_statement(AFTER_READING[name], lambda: erase(person.email)):
        response = REQUESTS[name](person)
    assert response.status == 401 or name == "logout"
    assert_erased(database, person)


@on_each_postgresql_isolation
def test_login_that_has_checked_the_password_of_an_erased_user_leaves_no_trace(database, person, monkeypatch):
    while_a_password_is_checked(monkeypatch, lambda: erase(person.email))
    assert log_in(person.email).status == 401
    assert_erased(database, person)


@pytest.mark.asvs("14.2.7", "15.4.2")
@on_each_postgresql_isolation
@pytest.mark.parametrize("name", AFTER_LOCKING)
def test_erasure_that_waits_for_a_request_deletes_what_it_wrote(database, person, elsewhere, name):
    log_in("nobody@example.com")  # one engine for both threads
    erasures = []

    def start_erasure():
        erasures.append(elsewhere.submit(erase, person.email))
        wait_until_blocked(database)

    with before_statement(AFTER_LOCKING[name], start_erasure):
        response = REQUESTS[name](person)
    assert response.status in (200, 204)
    erasures[0].result()
    assert_erased(database, person)

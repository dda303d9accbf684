"""Outages of the database (locked, hanging, stopped, not mounted): requests get 503, then work without a restart."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.support.databases import start_fresh_environment
from tests.support.factories import get_health, get_user, log_in, refresh, register
from tests.support.faults import (
    assert_no_partial_changes,
    is_unavailable,
    on_postgresql,
    on_sqlite,
    paused,
    service_backend,
    stored_rows,
)
from tests.support.throttles import attempt_counts, counter_rows

pytestmark = [pytest.mark.database, pytest.mark.fault]

OTHER = "other@example.com"


@pytest.fixture(autouse=True)
def _short_database_timeout(monkeypatch, environment):
    monkeypatch.setenv("DATABASE_TIMEOUT", "1")


@contextmanager
def locked(database) -> Iterator[None]:
    """Lock the database for writes, from another connection, while the block runs."""
    if database.kind == "sqlite":
        other = sqlite3.connect(database.url.partition("///")[2], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE users, sessions, refresh_tokens, throttles, audit_events"))
        yield


def assert_every_request_works_again(database, account):
    """Check that each request succeeds at the first attempt, in the same process."""
    assert refresh(account.refresh_token).status == 200
    assert get_user(account.id, token=account.access_token).status == 200
    assert log_in().status == 200
    assert register(email=OTHER).status == 201
    assert get_health().status == 200
    assert_no_partial_changes(database)


@pytest.mark.asvs("15.4.3")
def test_locked_database_is_503_and_changes_nothing(database, account):
    before = stored_rows(database), counter_rows(database)
    with locked(database):
        responses = [register(email=OTHER), log_in(), refresh(account.refresh_token)]
    assert all(map(is_unavailable, responses))
    assert (stored_rows(database), counter_rows(database)) == before
    assert_every_request_works_again(database, account)


@on_sqlite
def test_read_on_a_locked_sqlite_is_200(database, account):
    with locked(database):
        assert get_user(account.id, token=account.access_token).status == 200
        assert get_health().status == 200


@on_postgresql
def test_lock_during_a_login_is_503_and_counts_no_attempt(database, account, monkeypatch):
    """The login counts an attempt before it waits for the lock. The count is taken back afterwards."""
    before = attempt_counts(database)
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE sessions IN EXCLUSIVE MODE"))
        assert is_unavailable(log_in())
    assert attempt_counts(database) == before
    assert_every_request_works_again(database, account)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@pytest.mark.threat("database-away")
@on_postgresql
def test_hanging_connection_is_503_for_one_request(database, account):
    backend = service_backend()
    with paused(backend):
        assert is_unavailable(log_in())
        assert log_in().status == 200
    assert_every_request_works_again(database, account)


@on_postgresql
def test_hanging_server_is_503_until_it_continues(database, account, postgres):
    backend = service_backend()
    with paused(backend, postgres.pid):
        assert is_unavailable(get_health())  # The open connection hangs.
        assert is_unavailable(get_health())  # A new connection hangs, too.
    assert_every_request_works_again(database, account)


@on_postgresql
def test_stopped_server_is_503_until_it_starts(database, account, postgres):
    """This includes an environment that starts during the outage."""
    with postgres.stopped():
        responses = [register(email=OTHER), log_in(), refresh(account.refresh_token), get_health()]
        responses.append(get_user(account.id, token=account.access_token))
        start_fresh_environment()
        responses += [log_in(), get_health()]
    assert all(map(is_unavailable, responses))
    assert_every_request_works_again(database, account)


@on_sqlite
def test_missing_storage_is_503_until_it_is_mounted(database, account, environment):
    elsewhere = environment.rename(environment.with_name("elsewhere"))
    start_fresh_environment()
    responses = [register(email=OTHER), log_in(), refresh(account.refresh_token), get_health()]
    elsewhere.rename(environment)
    assert {(response.status, response.code) for response in responses} == {(503, "storage_not_mounted")}
    assert {response.headers["retry-after"] for response in responses} == {"5"}
    assert_every_request_works_again(database, account)

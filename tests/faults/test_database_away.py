"""The database is locked, slow, frozen or gone, and comes back: 503 meanwhile, and no restart afterwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from auth_common.database.tables import audit_events, sessions, users
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_health, get_user, log_in, refresh, register
from tests.support.faults import (
    assert_nothing_half_done,
    frozen,
    is_unavailable,
    on_postgresql,
    on_sqlite,
    service_backend,
)
from tests.support.throttles import failures
from tests.support.throttles import rows as counters

pytestmark = [pytest.mark.database, pytest.mark.fault]

OTHER = "other@example.com"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch, environment):
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.3")


@contextmanager
def locked(database) -> Iterator[None]:
    """Another process holds what every change needs."""
    if database.kind == "sqlite":
        other = sqlite3.connect(database.url.partition("///")[2], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE users, sessions, refresh_tokens, throttles, audit_events"))
        yield


def contents(database):
    return [database.count(table) for table in (users, sessions, audit_events)], counters(database)


def assert_every_request_works_again(database, person):
    """In the same process, at the first try."""
    assert refresh(person.refresh_token).status == 200
    assert get_user(person.id, token=person.access_token).status == 200
    assert log_in().status == 200
    assert register(email=OTHER).status == 201
    assert get_health().status == 200
    assert_nothing_half_done(database)


@pytest.mark.asvs("15.4.3")
def test_locked_database_is_503_changes_nothing_and_counts_no_attempt(database, person):
    before = contents(database)
    with locked(database):
        answers = [register(email=OTHER), log_in(), refresh(person.refresh_token)]
    assert all(map(is_unavailable, answers))
    assert contents(database) == before
    assert_every_request_works_again(database, person)


@on_sqlite
def test_request_that_only_reads_is_served_while_sqlite_is_locked(database, person):
    with locked(database):
        assert get_user(person.id, token=person.access_token).status == 200
        assert get_health().status == 200


@on_postgresql
def test_lock_that_begins_in_the_middle_of_a_login_counts_no_attempt(database, person, monkeypatch):
    """The attempt has been counted when the database stops. It is taken back later."""
    before = failures(database)
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE sessions IN EXCLUSIVE MODE"))
        assert is_unavailable(log_in())
    assert failures(database) == before
    assert_every_request_works_again(database, person)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@pytest.mark.threat("database-away")
@on_postgresql
def test_server_that_hangs_on_one_connection_is_503_for_one_request(database, person):
    backend = service_backend()
    with frozen(backend):
        assert is_unavailable(log_in())
        assert log_in().status == 200
    assert_every_request_works_again(database, person)


@on_postgresql
def test_server_that_hangs_altogether_is_503_until_it_goes_on(database, person, postgres):
    backend = service_backend()
    with frozen(backend, postgres.pid):
        assert is_unavailable(get_health())  # the connection that there is hangs
        assert is_unavailable(get_health())  # and there is no new one
    assert_every_request_works_again(database, person)


@on_postgresql
def test_server_that_is_shut_down_is_503_until_it_is_started_again(database, person, postgres):
    """Also for an environment that starts meanwhile."""
    with postgres.stopped():
        answers = [register(email=OTHER), log_in(), refresh(person.refresh_token), get_health()]
        answers.append(get_user(person.id, token=person.access_token))
        start_fresh_environment()
        answers += [log_in(), get_health()]
    assert all(map(is_unavailable, answers))
    assert_every_request_works_again(database, person)


@on_sqlite
def test_environment_that_starts_without_its_storage_is_503_until_it_is_there(database, person, environment):
    elsewhere = environment.rename(environment.with_name("elsewhere"))
    start_fresh_environment()
    answers = [register(email=OTHER), log_in(), refresh(person.refresh_token), get_health()]
    elsewhere.rename(environment)
    assert {(answer.status, answer.code) for answer in answers} == {(503, "storage_not_mounted")}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}
    assert_every_request_works_again(database, person)

"""The database is locked, slow, frozen or gone, and comes back: 503 meanwhile, and no restart afterwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.pool import NullPool

from auth_common.db.engine import read
from auth_common.db.tables import audit_events, sessions, users
from tests.support.databases import start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import get_user, log_in, refresh, register, sign_up
from tests.support.faults import assert_nothing_half_done, frozen, is_unavailable
from tests.support.functions import call
from tests.support.throttles import failures
from tests.support.throttles import rows as counters

pytestmark = [pytest.mark.database, pytest.mark.fault]

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
OTHER = "other@example.com"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch, environment):
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.3")


@pytest.fixture
def person(database):
    return sign_up()


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


def health():
    return call("health", proxy_event("GET", "/health"))


def assert_all_work_again(database, person):
    """In the same process, at the first try."""
    assert refresh(person.refresh_token).status == 200
    assert get_user(person.id, token=person.access_token).status == 200
    assert log_in().status == 200
    assert register(email=OTHER).status == 201
    assert health().status == 200
    assert_nothing_half_done(database)


@pytest.mark.asvs("15.4.3")
def test_a_locked_database_is_503_changes_nothing_and_costs_no_attempt(database, person):
    before = contents(database)
    with locked(database):
        answers = [register(email=OTHER), log_in(), refresh(person.refresh_token)]
    assert all(map(is_unavailable, answers))
    assert contents(database) == before
    assert_all_work_again(database, person)


@on_sqlite
def test_who_only_reads_does_not_notice_that_sqlite_is_locked(database, person):
    with locked(database):
        assert get_user(person.id, token=person.access_token).status == 200
        assert health().status == 200


@on_postgresql
def test_a_lock_that_begins_in_the_middle_of_a_login_costs_no_attempt(database, person, monkeypatch):
    """The attempt has been counted, then nothing answers any more: it is given back when there is somebody to do so."""
    before = failures(database)
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE sessions IN EXCLUSIVE MODE"))
        assert is_unavailable(log_in())
    assert failures(database) == before
    assert_all_work_again(database, person)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@pytest.mark.threat("database-away")
@on_postgresql
def test_a_server_that_hangs_on_our_connection_is_503_and_the_next_request_has_another(database, person):
    backend = read(lambda connection: connection.execute(select(func.pg_backend_pid())).scalar_one())
    with frozen(backend):
        assert is_unavailable(log_in())
        assert log_in().status == 200
    assert_all_work_again(database, person)


@on_postgresql
def test_a_server_that_hangs_altogether_is_503_until_it_goes_on(database, person, postgres):
    backend = read(lambda connection: connection.execute(select(func.pg_backend_pid())).scalar_one())
    with frozen(backend, postgres.pid):
        assert is_unavailable(health())  # the connection that there is hangs
        assert is_unavailable(health())  # and there is no new one
    assert_all_work_again(database, person)


@on_postgresql
def test_a_server_that_is_shut_down_is_503_until_it_is_started_again(database, person, postgres):
    with postgres.stopped():
        answers = [
            register(email=OTHER),
            log_in(),
            refresh(person.refresh_token),
            get_user(person.id, token=person.access_token),
            health(),
        ]
    assert all(map(is_unavailable, answers))
    assert_all_work_again(database, person)


@on_postgresql
def test_an_environment_that_starts_while_the_server_is_down_recovers(database, person, postgres):
    with postgres.stopped():
        start_fresh_environment()
        assert is_unavailable(log_in())
        assert is_unavailable(health())
    assert_all_work_again(database, person)


@on_sqlite
def test_an_environment_that_starts_while_its_storage_is_missing_recovers(database, person, environment):
    elsewhere = environment.rename(environment.with_name("elsewhere"))
    start_fresh_environment()
    answers = [register(email=OTHER), log_in(), refresh(person.refresh_token), health()]
    elsewhere.rename(environment)
    assert {(answer.status, answer.code) for answer in answers} == {(503, "storage_not_mounted")}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}
    assert_all_work_again(database, person)

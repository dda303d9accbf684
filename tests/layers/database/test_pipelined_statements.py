"""Statements that share a round trip, and what becomes of a write that waits (``write_later``)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, make_url, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from auth_common.database.pipeline import execute_with_next, write_later
from auth_common.database.tables import audit_salts, users
from auth_common.database.time_limit import time_limit
from auth_common.errors import DatabaseUnavailable
from auth_common.transactions import read, transaction
from tests.support.databases import backend_of, start_fresh_environment
from tests.support.faults import on_postgresql, service_backend
from tests.support.round_trips import Traffic, counting_proxy

pytestmark = pytest.mark.database

on_servers = pytest.mark.parametrize("database", ["postgresql", "auroradsql"], indirect=True)
on_all_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql", "auroradsql"], indirect=True)
both_ways = pytest.mark.parametrize("pipeline", ["true", "false"], indirect=True)
_SELECT = select(audit_salts.c.user_id)


@pytest.fixture
def pipeline(request, database, monkeypatch):
    """Turn pipelining on or off."""
    monkeypatch.setenv("DATABASE_PIPELINE", request.param)
    start_fresh_environment()


@pytest.fixture
def traffic(database, postgres) -> Iterator[Traffic]:
    """What is sent to the server, by an environment whose connection is open."""
    with counting_proxy(postgres.socket) as counted:
        start_fresh_environment()
        read(lambda connection: connection.execute(_SELECT).all())
        counted.clear()
        yield counted
    start_fresh_environment()


def salt(number: int) -> dict[str, object]:
    return {"user_id": UUID(int=number), "salt": bytes(32)}


def storing(*numbers: int) -> Callable[[Connection], None]:
    """Return the body of a transaction of one write, which never waits."""
    return lambda connection: store(connection, *numbers)


def reading_and_storing(*numbers: int) -> Callable[[Connection], None]:
    """Return the body of a transaction whose write waits for its end."""
    return lambda connection: read_and_store(connection, *numbers)


def store(connection: Connection, *numbers: int) -> None:
    """Write rows that may wait."""
    rows = [salt(number) for number in numbers]
    write_later(connection, insert(audit_salts), rows if len(rows) > 1 else rows[0])


def read_and_store(connection: Connection, *numbers: int) -> None:
    """Begin the transaction, so that the write waits for its end."""
    connection.execute(_SELECT).all()
    store(connection, *numbers)


def store_and_read(connection: Connection, number: int) -> list[int]:
    """Send a write with the statement after it, and return what that statement reads."""
    execute_with_next(connection, insert(audit_salts), salt(number))
    return [user_id.int for user_id in connection.execute(_SELECT).scalars()]


def stored(database) -> list[int]:
    return sorted(user_id.int for (user_id,) in database.execute(_SELECT))


def kinds(traffic: Traffic) -> list[list[str]]:
    """Return the first word of each statement of each round trip."""
    return [[statement.split()[0] for statement in flight] for flight in traffic.flights]


def observer(database) -> Engine:
    return create_engine(database.url, poolclass=NullPool)


# --- What is stored -----------------------------------------------------------------------------------------------


@both_ways
@on_all_databases
@pytest.mark.usefixtures("pipeline")
def test_waiting_writes_are_stored_before_what_follows(database):
    def body(connection: Connection) -> list[int]:
        read_and_store(connection, 1, 2)
        connection.execute(insert(audit_salts), [salt(3), salt(4)])
        seen = [user_id.int for user_id in connection.execute(_SELECT).scalars()]
        store(connection, 5)
        return seen

    assert sorted(transaction(body)) == [1, 2, 3, 4]
    assert stored(database) == [1, 2, 3, 4, 5]


@both_ways
@on_all_databases
@pytest.mark.usefixtures("pipeline")
def test_statement_after_a_first_write_sees_it_or_raises_its_error(database):
    assert transaction(lambda connection: store_and_read(connection, 1)) == [1]
    with pytest.raises(IntegrityError):
        transaction(lambda connection: store_and_read(connection, 1))
    assert stored(database) == [1]


@both_ways
@on_all_databases
@pytest.mark.usefixtures("pipeline")
def test_constraint_error_of_a_write_at_the_end_stores_nothing(database):
    transaction(storing(1))
    for numbers in ([1], [2, 1]):
        with pytest.raises(IntegrityError):
            transaction(reading_and_storing(3, *numbers))
    assert stored(database) == [1]
    transaction(reading_and_storing(4))
    assert stored(database) == [1, 4]


@both_ways
@on_all_databases
@pytest.mark.usefixtures("pipeline")
def test_constraint_error_of_a_write_stores_nothing_that_follows(database):
    def body(connection: Connection) -> None:
        read_and_store(connection, 2)
        store(connection, 1)
        connection.execute(insert(audit_salts), salt(3))

    transaction(storing(1))
    with pytest.raises(IntegrityError):
        transaction(body)
    assert stored(database) == [1]


@on_servers
def test_caught_error_of_a_waiting_write_commits_nothing(database):
    """A store that catches the error of its own statement must not catch that of an earlier write and go on."""

    def body(connection: Connection) -> None:
        read_and_store(connection, 2)
        store(connection, 1)
        with suppress(IntegrityError):
            connection.execute(insert(audit_salts), salt(3))

    transaction(storing(1))
    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert stored(database) == [1]


@both_ways
@on_servers
@pytest.mark.usefixtures("pipeline")
def test_caught_error_of_a_statement_is_no_commit(database):
    """PostgreSQL rolls back, and reports no error at COMMIT."""
    transaction(storing(1))

    def body(connection: Connection) -> None:
        connection.execute(insert(audit_salts), salt(2))
        with suppress(IntegrityError):
            connection.execute(insert(audit_salts), salt(1))

    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert stored(database) == [1]


@on_servers
def test_statement_that_cannot_be_sent_loses_no_waiting_write(database):
    def body(connection: Connection) -> None:
        read_and_store(connection, 1)
        with suppress(DBAPIError):
            connection.execute(select(users).where(users.c.email == "NUL \0")).all()

    transaction(body)
    assert stored(database) == [1]


@both_ways
@on_all_databases
@pytest.mark.usefixtures("pipeline")
def test_error_of_the_body_stores_no_waiting_write(database):
    def body(connection: Connection) -> None:
        read_and_store(connection, 1)
        raise LookupError

    with pytest.raises(LookupError):
        transaction(body)
    transaction(reading_and_storing(2))
    assert stored(database) == [2]


# --- Conflicts, timeouts and lost connections ---------------------------------------------------------------------


@both_ways
@on_servers
@pytest.mark.usefixtures("pipeline")
def test_conflict_of_a_waiting_write_runs_the_body_again(database, monkeypatch):
    """SQLSTATE 40001, which is reported at the commit."""
    url = make_url(database.url).update_query_dict({"options": "-c default_transaction_isolation=serializable"})
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    start_fresh_environment()
    database.execute(insert(audit_salts).values(salt(1)))
    seen = []

    def body(connection: Connection) -> None:
        seen.append(connection.execute(select(audit_salts.c.salt)).scalar_one())
        if len(seen) == 1:
            database.execute(update(audit_salts).values(salt=b"theirs"))
        write_later(connection, update(audit_salts), {"salt": seen[-1] + b" and ours"})

    transaction(body)
    assert seen == [bytes(32), b"theirs"]
    assert database.execute(select(audit_salts.c.salt)) == [(b"theirs and ours",)]


@contextmanager
def holding(database, number: int) -> Iterator[None]:
    """Hold an uncommitted row while the block runs, for which an insertion of the same row waits."""
    with observer(database).connect() as other:
        other.execute(insert(audit_salts), salt(number))
        yield
        other.rollback()


@both_ways
@on_servers
@pytest.mark.usefixtures("pipeline")
def test_waiting_write_that_meets_a_lock_is_cancelled_at_the_timeout(database, monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.3")
    start_fresh_environment()
    with holding(database, 1), pytest.raises(DatabaseUnavailable):
        transaction(reading_and_storing(1))
    assert stored(database) == []
    transaction(reading_and_storing(1))
    assert stored(database) == [1]


@on_servers
def test_waiting_write_is_not_sent_after_the_deadline(database):
    with ExitStack() as deadline:

        def body(connection: Connection) -> None:
            read_and_store(connection, 1)
            deadline.enter_context(time_limit(0))

        with pytest.raises(DatabaseUnavailable):
            transaction(body)
    assert stored(database) == []


@both_ways
@on_postgresql
@pytest.mark.usefixtures("pipeline")
def test_connection_that_was_lost_before_a_transaction_of_one_write_is_replaced(database):
    """The first statement never waits for COMMIT. Otherwise it would be unknown whether the write is stored."""
    database.terminate_backend(service_backend())
    transaction(storing(1))
    assert stored(database) == [1]


@both_ways
@on_postgresql
@pytest.mark.usefixtures("pipeline")
def test_connection_that_was_lost_before_a_write_with_the_next_statement_is_replaced(database):
    database.terminate_backend(service_backend())
    assert transaction(lambda connection: store_and_read(connection, 1)) == [1]
    assert stored(database) == [1]


@both_ways
@on_postgresql
@pytest.mark.usefixtures("pipeline")
def test_connection_that_is_lost_before_the_commit_is_not_retried(database):
    tries = []

    def body(connection: Connection) -> None:
        tries.append(backend_of(connection))
        store(connection, 1)
        database.terminate_backend(tries[-1])

    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert len(tries) == 1
    assert stored(database) == []


# --- Round trips --------------------------------------------------------------------------------------------------


@on_servers
def test_read_is_one_round_trip_also_when_it_is_prepared(traffic):
    for _ in range(8):
        read(lambda connection: connection.execute(_SELECT).all())
    expected = [["SELECT"]] * 8
    expected[4] = ["(prepare)", "SELECT"]  # The fixture has executed the statement once.
    assert kinds(traffic) == expected


@on_servers
def test_transaction_begins_and_ends_without_round_trips_of_its_own(traffic):
    transaction(reading_and_storing(1))
    transaction(storing(2))
    transaction(lambda connection: connection.execute(_SELECT).all())
    transaction(lambda _: None)
    assert kinds(traffic) == [
        ["BEGIN", "SELECT"],
        ["INSERT", "COMMIT"],
        ["BEGIN", "INSERT"],
        ["COMMIT"],
        ["BEGIN", "SELECT"],
        ["COMMIT"],
    ]


@on_servers
def test_first_write_travels_with_begin_and_the_next_statement(traffic):
    transaction(lambda connection: store_and_read(connection, 1))
    assert kinds(traffic) == [["BEGIN", "INSERT", "SELECT"], ["COMMIT"]]


@on_servers
def test_rollback_is_one_round_trip_and_sends_no_waiting_write(traffic):
    def body(connection: Connection) -> None:
        read_and_store(connection, 1, 2)
        raise LookupError

    transaction(storing(3, 4))  # is prepared, so the rollback forgets it
    traffic.clear()
    with pytest.raises(LookupError):
        transaction(body)
    assert kinds(traffic) == [["BEGIN", "SELECT"], ["ROLLBACK", "DEALLOCATE"]]


@on_servers
def test_statements_can_be_prepared_again_after_a_failed_read(database, traffic):
    transaction(storing(1, 2))
    with pytest.raises(DatabaseUnavailable):
        read(lambda connection: connection.exec_driver_sql("SELECT 1 / 0"))
    traffic.clear()
    for numbers in ((3, 4), (5, 6)):
        transaction(storing(*numbers))
    assert kinds(traffic) == [
        ["DEALLOCATE", "BEGIN", "(prepare)", "INSERT", "INSERT"],
        ["COMMIT"],
        ["BEGIN", "INSERT", "INSERT"],
        ["COMMIT"],
    ]
    assert stored(database) == [1, 2, 3, 4, 5, 6]


@on_servers
def test_without_a_pipeline_each_statement_is_a_round_trip(traffic, monkeypatch):
    monkeypatch.setenv("DATABASE_PIPELINE", "false")
    start_fresh_environment()
    read(lambda connection: connection.execute(_SELECT).all())
    traffic.clear()
    transaction(reading_and_storing(1, 2))
    assert kinds(traffic) == [["BEGIN"], ["SELECT"], ["INSERT"], ["INSERT"], ["COMMIT"]]

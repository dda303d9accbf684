"""``transaction()`` and ``read()`` against databases that conflict, hang up and lock."""

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from auth_common.db.engine import make_engine, read, transaction
from auth_common.db.tables import sessions, users
from auth_common.errors import DatabaseUnavailable
from tests.support.databases import start_fresh_environment

pytestmark = pytest.mark.database

FIRST = UUID(int=1)
SECOND = UUID(int=2)

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def row(user_id, **changes):
    return {
        "id": user_id,
        "email": f"{user_id}@example.com",
        "name": "Test Person",
        "date_of_birth": date(1980, 4, 14),
        "job_title": "Engineer",
        "password_hash": "stored-hash-of-a-password",
        "role": "user",
        "status": "active",
        "token_version": 0,
        "created_at": datetime.now(UTC),
        **changes,
    }


@pytest.fixture
def two_users(database):
    database.execute(insert(users).values([row(FIRST), row(SECOND)]))
    return database


@pytest.fixture
def isolated(two_users, monkeypatch):
    """PostgreSQL as strict as Aurora DSQL, which reports a conflict at the latest when it commits."""
    monkeypatch.setenv("DATABASE_URL", f"{two_users.url}&options=-c%20default_transaction_isolation%3Dserializable")
    start_fresh_environment()
    return two_users


def backend_of(connection):
    return connection.execute(select(func.pg_backend_pid())).scalar_one()


def hang_up(database, backend):
    """End the backend of a connection and wait until it is gone, as a restart or a failover does."""
    assert database.execute(select(func.pg_terminate_backend(backend, 5_000))) == [(True,)]


def rename(connection, user_id, name):
    connection.execute(update(users).where(users.c.id == user_id).values(name=name))


def names(database):
    return [name for (name,) in database.execute(select(users.c.name).order_by(users.c.id))]


# --- Conflicts ----------------------------------------------------------------------------------------------------


@on_postgresql
def test_a_conflict_at_a_statement_runs_the_body_again(isolated):
    """SQLSTATE 40001, "could not serialize access due to concurrent update"."""
    seen = []

    def body(connection: Connection) -> str:
        seen.append(connection.execute(select(users.c.token_version).where(users.c.id == FIRST)).scalar_one())
        if len(seen) == 1:
            isolated.execute(update(users).values(token_version=7))
        connection.execute(update(users).where(users.c.id == FIRST).values(token_version=seen[-1] + 1))
        return "done"

    assert transaction(body) == "done"
    assert seen == [0, 7]
    assert isolated.execute(select(users.c.token_version).where(users.c.id == FIRST)) == [(8,)]


@on_postgresql
def test_a_conflict_at_the_commit_runs_the_body_again(isolated):
    """Write skew: each of two transactions reads what the other writes. Aurora DSQL reports every conflict so."""
    attempts: list[None] = []

    def write_skew(connection: Connection) -> None:
        attempts.append(None)
        connection.execute(select(users)).all()
        rename(connection, FIRST, "ours")
        if len(attempts) == 1:
            theirs = make_engine(os.environ["DATABASE_URL"], timeout=5, verify_server=False)
            with theirs.begin() as other:
                other.execute(select(users)).all()
                rename(other, SECOND, "theirs")
            theirs.dispose()

    transaction(write_skew)
    assert len(attempts) == 2
    assert names(isolated) == ["ours", "theirs"]


@pytest.mark.asvs("13.2.6", "15.4.3")
@on_postgresql
def test_conflicts_without_end_are_given_up(isolated):
    attempts: list[None] = []

    def body(connection: Connection) -> None:
        attempts.append(None)
        connection.execute(select(users)).all()
        isolated.execute(update(users).values(token_version=len(attempts)))
        rename(connection, FIRST, "ours")

    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert len(attempts) == 6
    assert names(isolated) == ["Test Person", "Test Person"]


@pytest.mark.asvs("15.4.3")
@on_postgresql
def test_a_deadlock_runs_the_loser_again(two_users, monkeypatch):
    """SQLSTATE 40P01: PostgreSQL ends one of the two."""
    monkeypatch.setenv("DATABASE_URL", f"{two_users.url}&options=-c%20deadlock_timeout%3D20ms")
    first_locked, second_locked, winner_done = Event(), Event(), Event()
    attempts: list[UUID] = []

    def lock_both(first: UUID, second: UUID, mine: Event, theirs: Event) -> None:
        def body(connection: Connection) -> None:
            if first in attempts:
                # Else this one, the loser, could meet the winner before its commit, and lose again.
                assert winner_done.wait(30)
            attempts.append(first)
            rename(connection, first, "locked")
            mine.set()
            assert theirs.wait(30)
            rename(connection, second, "locked")

        transaction(body)
        winner_done.set()

    transaction(lambda _: None)  # one engine for both threads
    with ThreadPoolExecutor(2) as threads:
        both = [
            threads.submit(lock_both, FIRST, SECOND, first_locked, second_locked),
            threads.submit(lock_both, SECOND, FIRST, second_locked, first_locked),
        ]
    assert [future.result() for future in both] == [None, None]
    assert len(attempts) == 3


# --- Lost connections ---------------------------------------------------------------------------------------------


@on_postgresql
def test_a_connection_that_died_while_it_was_idle_is_replaced(two_users):
    """Aurora DSQL closes each connection after an hour; a Lambda environment sleeps for minutes."""
    for run in (transaction, read):
        hang_up(two_users, run(backend_of))
        assert run(lambda connection: connection.execute(select(users.c.id)).all()) == [(FIRST,), (SECOND,)]


@on_postgresql
def test_a_connection_that_is_lost_before_the_commit_runs_the_body_again(two_users):
    attempts: list[None] = []

    def body(connection: Connection) -> None:
        attempts.append(None)
        rename(connection, FIRST, f"attempt {len(attempts)}")
        if len(attempts) == 1:
            hang_up(two_users, backend_of(connection))
        rename(connection, SECOND, f"attempt {len(attempts)}")

    transaction(body)
    assert names(two_users) == ["attempt 2", "attempt 2"]


@on_postgresql
def test_a_connection_that_is_lost_at_the_commit_is_not_run_again(two_users):
    """Whether the database has committed, nobody knows: a second run could do everything twice."""
    attempts: list[None] = []

    def body(connection: Connection) -> None:
        attempts.append(None)
        rename(connection, FIRST, "changed")
        hang_up(two_users, backend_of(connection))

    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert len(attempts) == 1
    assert names(two_users) == ["Test Person", "Test Person"]


@pytest.mark.asvs("13.2.6")
@pytest.mark.threat("database-away")
@on_sqlite
@pytest.mark.usefixtures("database")
def test_transaction_without_a_free_connection_is_unavailable(monkeypatch):
    """Only a test can get there: a Lambda environment serves one event at a time."""
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")

    def use_connections(number):
        if number:
            read(lambda _: use_connections(number - 1))
        else:
            with pytest.raises(DatabaseUnavailable):
                transaction(lambda _: None)

    use_connections(64)
    transaction(lambda _: None)


@pytest.mark.asvs("16.5.2")
@pytest.mark.usefixtures("environment")
def test_a_database_that_is_away_is_unavailable(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://127.0.0.1:9/service")
    for run in (transaction, read):
        with pytest.raises(DatabaseUnavailable):
            run(lambda _: None)


# --- Errors that are nobody's fault but the body's ----------------------------------------------------------------


@pytest.mark.asvs("2.3.3")
def test_an_exception_of_the_bodys_own_rolls_back_and_passes(two_users):
    def body(connection: Connection) -> None:
        rename(connection, FIRST, "changed")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        transaction(body)
    assert names(two_users) == ["Test Person", "Test Person"]


def test_a_constraint_violation_passes_and_is_not_run_again(two_users):
    attempts: list[None] = []

    def body(connection: Connection) -> None:
        attempts.append(None)
        rename(connection, FIRST, "changed")
        connection.execute(insert(users).values(row(UUID(int=3), email=f"{SECOND}@example.com")))

    with pytest.raises(IntegrityError):
        transaction(body)
    assert len(attempts) == 1
    assert names(two_users) == ["Test Person", "Test Person"]


def test_a_broken_statement_is_unavailable_and_not_run_again(two_users):
    attempts: list[None] = []

    def body(connection: Connection) -> None:
        attempts.append(None)
        connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert len(attempts) == 1


def test_a_session_without_a_user_is_refused_by_the_database(two_users):
    now = datetime.now(UTC)
    orphan = {
        "id": FIRST,
        "user_id": UUID(int=9),
        "amr": "pwd",
        "auth_time": now,
        "source_ip": "",
        "user_agent": "",
        "last_used_at": now,
        "expires_at": now,
        "token_version": 0,
        "generation": 0,
    }
    with pytest.raises(IntegrityError):
        transaction(lambda connection: connection.execute(insert(sessions).values(orphan)))


@pytest.mark.threat("database-url-leak")
def test_error_texts_hold_no_parameters(two_users):
    """They would take password hashes and addresses into the log."""
    with pytest.raises(IntegrityError) as caught:
        transaction(lambda connection: connection.execute(insert(users).values(row(FIRST))))
    assert "stored-hash-of-a-password" not in str(caught.value)
    assert "parameters hidden" in str(caught.value)


# --- SQLite -------------------------------------------------------------------------------------------------------


@on_sqlite
def test_sqlite_is_set_up_for_durability_and_integrity(two_users):
    names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout")
    pragmas = read(lambda connection: [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names])
    assert dict(zip(names, pragmas, strict=True)) == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "trusted_schema": 0,
        "busy_timeout": 4_000,
    }


@pytest.mark.usefixtures("environment")
def test_a_new_sqlite_file_is_readable_by_its_owner_alone(environment):
    transaction(lambda _: None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in environment.glob("*.sqlite3*")}
    assert modes["secure-backend.sqlite3"] == 0o600
    assert set(modes.values()) == {0o600}


@pytest.fixture
def writer(two_users):
    """Another process's connection, which holds the write lock."""
    other = sqlite3.connect(two_users.url.partition("///")[2], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.mark.asvs("13.2.6", "15.4.3")
@on_sqlite
def test_a_locked_sqlite_is_unavailable_when_the_wait_is_over(two_users, writer, monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")
    start_fresh_environment()
    with pytest.raises(DatabaseUnavailable):
        transaction(lambda connection: rename(connection, FIRST, "ours"))
    writer.execute("ROLLBACK")
    transaction(lambda connection: rename(connection, FIRST, "ours"))
    assert names(two_users) == ["ours", "Test Person"]


@on_sqlite
def test_a_writer_waits_for_the_one_before_and_sees_its_work(two_users, writer):
    def increment(connection: Connection) -> None:
        version = connection.execute(select(users.c.token_version).where(users.c.id == FIRST)).scalar_one()
        connection.execute(update(users).where(users.c.id == FIRST).values(token_version=version + 1))

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(transaction, increment)
        writer.execute("UPDATE users SET token_version = 41")
        writer.execute("COMMIT")
        waiting.result()
    assert two_users.execute(select(users.c.token_version).where(users.c.id == FIRST)) == [(42,)]


@on_sqlite
def test_readers_do_not_wait_for_a_writer(two_users, writer):
    assert read(lambda connection: connection.execute(select(users.c.id)).all()) == [(FIRST,), (SECOND,)]


def test_a_file_that_is_no_database_is_unavailable(environment):
    (environment / "secure-backend.sqlite3").write_bytes(b"not a database" * 1_000)
    with pytest.raises(DatabaseUnavailable):
        transaction(lambda _: None)

"""``transaction()`` and ``read()`` with conflicts, locks and timeouts. For lost connections see tests/faults."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Event
from uuid import UUID

import psutil
import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from auth_common.database.engine import make_engine
from auth_common.database.tables import users
from auth_common.database.time_limit import time_limit
from auth_common.errors import DatabaseUnavailable
from auth_common.transactions import read, transaction
from tests.support.databases import start_fresh_environment
from tests.support.faults import on_postgresql, on_sqlite

pytestmark = pytest.mark.database

FIRST = UUID(int=1)
SECOND = UUID(int=2)


def row(user_id, **changes):
    personal = {"name": "Test Person", "date_of_birth": date(1980, 4, 14), "job_title": "Engineer"}
    account = {"role": "user", "status": "active", "token_version": 0, "created_at": datetime.now(UTC)}
    secret = {"email": f"{user_id}@example.com", "password_hash": "stored-hash-of-a-password"}
    return {"id": user_id, **personal, **account, **secret, **changes}


@pytest.fixture
def two_users(database):
    database.execute(insert(users).values([row(FIRST), row(SECOND)]))
    return database


@pytest.fixture
def isolated(two_users, monkeypatch):
    """A PostgreSQL that reports all conflicts at the latest at the commit, like Aurora DSQL."""
    monkeypatch.setenv("DATABASE_URL", f"{two_users.url}&options=-c%20default_transaction_isolation%3Dserializable")
    start_fresh_environment()
    return two_users


def run(body):
    """Run ``body`` in a transaction, with the number of the try. Return the number of tries and the error's type."""
    tries = 0

    def counted(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        body(connection, tries)

    try:
        transaction(counted)
    except Exception as error:  # noqa: BLE001 - the test compares it
        return tries, type(error)
    return tries, None


def rename(connection, user_id, name):
    connection.execute(update(users).where(users.c.id == user_id).values(name=name))


def names(database):
    return [name for (name,) in database.execute(select(users.c.name).order_by(users.c.id))]


# --- Conflicts ----------------------------------------------------------------------------------------------------


@on_postgresql
def test_conflict_at_a_statement_runs_the_body_again(isolated):
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
def test_conflict_at_the_commit_runs_the_body_again(isolated):
    """Write skew: each of two transactions reads rows that the other writes. Aurora DSQL reports all conflicts so."""

    def write_skew(connection: Connection, number: int) -> None:
        connection.execute(select(users)).all()
        rename(connection, FIRST, "ours")
        if number == 1:
            theirs = make_engine(os.environ["DATABASE_URL"], timeout=5, verify_server=False)
            with theirs.begin() as other:
                other.execute(select(users)).all()
                rename(other, SECOND, "theirs")
            theirs.dispose()

    assert run(write_skew) == (2, None)
    assert names(isolated) == ["ours", "theirs"]


@pytest.mark.asvs("13.2.6", "15.4.3")
@on_postgresql
def test_endless_conflict_is_unavailable(isolated):
    def body(connection: Connection, number: int) -> None:
        connection.execute(select(users)).all()
        isolated.execute(update(users).values(token_version=number))
        rename(connection, FIRST, "ours")

    assert run(body) == (6, DatabaseUnavailable)
    assert names(isolated) == ["Test Person", "Test Person"]


@pytest.mark.asvs("15.4.3")
@on_postgresql
def test_deadlock_runs_the_loser_again(two_users, monkeypatch):
    """SQLSTATE 40P01: PostgreSQL ends one of the two."""
    monkeypatch.setenv("DATABASE_URL", f"{two_users.url}&options=-c%20deadlock_timeout%3D20ms")
    first_locked, second_locked, winner_done = Event(), Event(), Event()
    attempts: list[UUID] = []

    def lock_both(first: UUID, second: UUID, mine: Event, theirs: Event) -> None:
        def body(connection: Connection) -> None:
            if first in attempts:
                # The loser retries only after the winner's commit. Otherwise it could lose again.
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


# --- Connections -------------------------------------------------------------------------------------------------


@pytest.mark.asvs("13.2.6")
@pytest.mark.threat("database-away")
@on_sqlite
@pytest.mark.usefixtures("database")
def test_transaction_without_a_free_connection_is_unavailable(monkeypatch):
    """This is possible only in a test, because a Lambda environment serves one event at a time."""
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
@pytest.mark.parametrize("state", ["away", "no database"])
def test_database_that_is_away_or_no_database_is_unavailable(environment, monkeypatch, state):
    if state == "away":
        monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://127.0.0.1:9/service")
    (environment / "secure-backend.sqlite3").write_bytes(b"not a database" * 1_000)
    for use in (transaction, read):
        with pytest.raises(DatabaseUnavailable):
            use(lambda _: None)


def test_file_that_is_no_database_is_not_left_open(environment):
    """Otherwise requests to a broken service would use up its file descriptors."""
    file = environment / "secure-backend.sqlite3"
    file.write_bytes(b"not a database" * 1_000)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            transaction(lambda _: None)
    assert str(file) not in {opened.path for opened in psutil.Process().open_files()}


# --- Errors of the body -------------------------------------------------------------------------------------------


def violate_a_constraint(connection):
    connection.execute(insert(users).values(row(UUID(int=3), email=f"{SECOND}@example.com")))


def ask_for_nothing(connection):
    connection.execute(text("SELECT nothing FROM nowhere"))


def raise_an_error(_connection):
    raise LookupError("mine")


@pytest.mark.asvs("2.3.3")
@pytest.mark.parametrize(
    ("fail", "error"),
    [(raise_an_error, LookupError), (violate_a_constraint, IntegrityError), (ask_for_nothing, DatabaseUnavailable)],
)
def test_error_of_the_body_rolls_back_without_a_retry(two_users, fail, error):
    def body(connection: Connection, _number: int) -> None:
        rename(connection, FIRST, "changed")
        fail(connection)

    assert run(body) == (1, error)
    assert names(two_users) == ["Test Person", "Test Person"]


@pytest.mark.threat("database-url-leak")
def test_error_text_has_no_parameters(two_users):
    """Parameters would bring password hashes and e-mail addresses into the log."""
    with pytest.raises(IntegrityError) as caught:
        transaction(lambda connection: connection.execute(insert(users).values(row(FIRST))))
    assert "stored-hash-of-a-password" not in str(caught.value)
    assert "parameters hidden" in str(caught.value)


# --- SQLite -------------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(two_users):
    """A connection of another process, which has the write lock."""
    other = sqlite3.connect(two_users.url.partition("///")[2], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.mark.asvs("13.2.6", "15.4.3")
@on_sqlite
def test_locked_sqlite_is_unavailable_after_the_timeout(two_users, writer, monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")
    start_fresh_environment()
    with pytest.raises(DatabaseUnavailable):
        transaction(lambda connection: rename(connection, FIRST, "ours"))
    writer.execute("ROLLBACK")
    transaction(lambda connection: rename(connection, FIRST, "ours"))
    assert names(two_users) == ["ours", "Test Person"]


@pytest.mark.asvs("13.2.6", "15.4.3")
@on_sqlite
@pytest.mark.usefixtures("writer")
def test_locked_sqlite_is_unavailable_at_the_deadline(monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "600")
    start_fresh_environment()
    with time_limit(0.3), pytest.raises(DatabaseUnavailable):
        transaction(lambda connection: rename(connection, FIRST, "ours"))


@on_sqlite
def test_sqlite_that_cannot_be_written_is_unavailable_at_once(two_users):
    """A damaged file has the same effect. The setting stands in for it."""
    read(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))
    assert run(lambda connection, _number: rename(connection, FIRST, "ours")) == (0, DatabaseUnavailable)
    assert names(two_users) == ["Test Person", "Test Person"]


@pytest.mark.asvs("15.4.3")
@on_sqlite
def test_killed_process_leaves_the_lock_to_the_next_writer(two_users):
    file = two_users.url.partition("///")[2]
    hold = (
        "import sqlite3, sys, time; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('BEGIN IMMEDIATE'); print('begun', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(transaction, lambda connection: rename(connection, FIRST, "ours"))
            process.kill()
            waiting.result()
    assert names(two_users) == ["ours", "Test Person"]


@pytest.mark.asvs("15.4.2")
@on_sqlite
def test_many_writers_all_get_their_turn(two_users):
    """SQLite's lock has no queue. Each writer reads before it writes, so a lost update would show."""

    def increment(connection: Connection) -> None:
        version = connection.execute(select(users.c.token_version).where(users.c.id == FIRST)).scalar_one()
        connection.execute(update(users).where(users.c.id == FIRST).values(token_version=version + 1))

    def write(_number: int) -> None:
        for _ in range(10):
            transaction(increment)

    transaction(lambda _: None)  # one engine for all threads
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(write, range(8))) == [None] * 8
    assert two_users.execute(select(users.c.token_version).where(users.c.id == FIRST)) == [(80,)]


@on_sqlite
def test_sqlite_writer_waits_for_the_lock_and_reader_does_not(two_users, writer):
    def increment(connection: Connection) -> None:
        version = connection.execute(select(users.c.token_version).where(users.c.id == FIRST)).scalar_one()
        connection.execute(update(users).where(users.c.id == FIRST).values(token_version=version + 1))

    assert read(lambda connection: connection.execute(select(users.c.id)).all()) == [(FIRST,), (SECOND,)]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(transaction, increment)
        writer.execute("UPDATE users SET token_version = 41")
        writer.execute("COMMIT")
        waiting.result()
    assert two_users.execute(select(users.c.token_version).where(users.c.id == FIRST)) == [(42,)]


# --- A deadline for many statements -----------------------------------------------------------------------------------

ENDLESS = {
    "sqlite": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 1e12) SELECT count(*) FROM t",
    "postgresql": "SELECT pg_sleep(86400)",
}


@pytest.mark.parametrize("run", [read, transaction])
def test_statement_at_the_deadline_is_cancelled(database, run, monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "600")
    start_fresh_environment()
    run(lambda connection: connection.execute(text("SELECT 1")))
    with time_limit(0.3), pytest.raises(DatabaseUnavailable):
        run(lambda connection: connection.execute(text(ENDLESS[database.kind])))
    assert run(lambda connection: connection.execute(text("SELECT 7")).scalar_one()) == 7


CHANGE = "UPDATE users SET name = 'changed'"
SENDING = {
    "one": lambda connection: connection.execute(text(CHANGE)),
    "several times": lambda connection: connection.execute(
        text(f"{CHANGE} WHERE id = :id"), [{"id": "1"}, {"id": "2"}]
    ),
    "as the driver's": lambda connection: connection.exec_driver_sql(CHANGE),
    "without parameters": lambda connection: connection.execution_options(no_parameters=True).exec_driver_sql(CHANGE),
}


@pytest.mark.parametrize("run", [read, transaction])
@pytest.mark.parametrize("send", SENDING.values(), ids=SENDING)
def test_statement_after_the_deadline_is_not_sent_in_any_way(two_users, run, send):
    def body(connection: Connection) -> None:
        with time_limit(0), pytest.raises(DatabaseUnavailable):
            send(connection)

    run(body)
    assert names(two_users) == ["Test Person", "Test Person"]


def test_transaction_after_the_deadline_does_not_begin(two_users):
    def body(connection: Connection) -> None:
        rename(connection, FIRST, "changed")

    with time_limit(0), pytest.raises(DatabaseUnavailable):
        transaction(body)
    assert names(two_users) == ["Test Person", "Test Person"]

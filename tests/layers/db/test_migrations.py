"""Migrations: one schema on both databases, whatever cuts them off and however many start together."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from auth_common.db import migrations
from auth_common.db.engine import make_engine, read
from auth_common.db.migrations import HEAD, current_revision, upgrade
from auth_common.db.tables import audit_events, metadata
from tests.support.databases import migrate, start_fresh_environment
from tests.support.factories import log_in, sign_up
from tests.support.processes import wait_until

pytestmark = pytest.mark.database

PROJECT = Path(__file__).parents[3]

#: Uses the database as a function's first request does, in a process of its own, once the starting shot has fallen.
STARTER = """
import sys, time
from pathlib import Path
from auth_common.db.engine import read
from auth_common.db.migrations import HEAD, current_revision
folder = Path(sys.argv[1])
(folder / f"ready-{sys.argv[2]}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
assert read(current_revision) == HEAD
print("alembic" in sys.modules)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request, environment, monkeypatch):
    """A database without our schema."""
    if request.param == "sqlite":
        yield f"sqlite+pysqlite:///{environment / 'secure-backend.sqlite3'}"
    else:
        with request.getfixturevalue("postgres").new_database(migrated=False) as url:
            monkeypatch.setenv("DATABASE_URL", url)
            yield url
            start_fresh_environment()


def autocommit(url):
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def differences(url):
    with autocommit(url).connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


def test_head_is_alembics_head():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_migrated_database_has_the_schema_of_our_tables(empty_database):
    with autocommit(empty_database).connect() as connection:
        assert current_revision(connection) is None
        upgrade(connection)
        assert current_revision(connection) == HEAD
    assert differences(empty_database) == []


def test_the_schema_has_our_indexes_and_names_its_constraints(database):
    with autocommit(database.url).connect() as connection:
        inspector = inspect(connection)
        for table in metadata.sorted_tables:
            expected = {index.name for index in table.indexes}
            found = {
                index["name"] for index in inspector.get_indexes(table.name) if not index.get("duplicates_constraint")
            }
            assert found == expected
            assert inspector.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
        assert inspector.get_unique_constraints("users")[0]["name"] == "uq_users_email"
        assert [key["name"] for key in inspector.get_foreign_keys("sessions")] == ["fk_sessions_user_id"]


def is_cut_off(url, *, after):
    """Migrate over a connection that breaks after so many DDL statements; tell whether it came to that."""
    engine = autocommit(url)
    seen = 0

    @event.listens_for(engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_):
        nonlocal seen
        seen += statement.lstrip().upper().startswith("CREATE")
        if seen > after:
            raise ConnectionResetError

    with engine.connect() as connection:
        try:
            upgrade(connection)
        except ConnectionResetError:
            return True
        return False


def tables_and_indexes(url):
    with autocommit(url).connect() as connection:
        inspector = inspect(connection)
        tables = inspector.get_table_names()
        return len(tables) + sum(len(inspector.get_indexes(table)) for table in tables)


@pytest.mark.threat("deployment-half-done")
def test_cut_off_anywhere_it_goes_on_where_it_stopped(empty_database):
    """Each DDL statement commits by itself, as Aurora DSQL wants it."""
    made = [0]
    while is_cut_off(empty_database, after=len(made)):
        made.append(tables_and_indexes(empty_database))
    assert differences(empty_database) == []
    assert made == sorted(made)
    assert len(set(made)) > len(metadata.tables)


@pytest.mark.threat("deployment-half-done")
def test_migration_that_was_cut_off_before_it_was_recorded_runs_again(database):
    revisions = sorted(
        each.revision for each in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
    )
    for revision in revisions:
        recorded = text("UPDATE alembic_version SET version_num = :revision")
        database.execute(recorded.bindparams(revision=revision))
        migrate(database.url)
        assert differences(database.url) == [], revision


@pytest.mark.asvs("6.3.2")
def test_a_new_database_holds_no_account_and_nothing_else(empty_database):
    """No default accounts (ASVS 5.0 6.3.2)."""
    migrate(empty_database)
    with autocommit(empty_database).connect() as connection:
        assert {table.name: connection.execute(table.select()).all() for table in metadata.sorted_tables} == {
            table.name: [] for table in metadata.sorted_tables
        }


def test_migrating_twice_changes_nothing(empty_database):
    migrate(empty_database)
    migrate(empty_database)
    assert differences(empty_database) == []


INDEX = "ix_audit_events_severity_time"
#: Whether the migration has begun to make an index and waits, as for a large table it would read.
MAKING = text(f"SELECT 1 FROM pg_stat_progress_create_index WHERE index_relid = to_regclass('{INDEX}')")
DROPPING = text(
    f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%DROP INDEX CONC%{INDEX}%' AND pid != pg_backend_pid()"
)
IS_USABLE = text(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{INDEX}')")


def set_back(url):
    """Bring a database to revision 0004. The service in it does not look at the revision again."""
    with autocommit(url).connect() as connection:
        for name in (INDEX, "ix_audit_events_reason_time"):
            connection.execute(text(f"DROP INDEX {name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))


@pytest.fixture
def database_before(postgres, environment, monkeypatch):
    """A PostgreSQL at revision 0004, with a user."""
    with postgres.new_database(migrated=True) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        sign_up()
        set_back(url)
        yield url
        start_fresh_environment()


@contextmanager
def somebody_writing(url):
    """Keep a transaction open that has written into the audit log: the making of an index waits for its end."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE audit_events IN ROW EXCLUSIVE MODE"))
        yield


@contextmanager
def migration_under_way(url):
    with autocommit(url).connect() as connection, ThreadPoolExecutor(1) as threads:
        with somebody_writing(url):
            migration = threads.submit(migrate, url)
            wait_until(lambda: connection.execute(MAKING).all())
            yield connection
            assert not migration.done()
        migration.result(timeout=60)


def test_a_log_with_records_gets_its_indexes(database):
    sign_up()
    records = database.execute(audit_events.select())
    set_back(database.url)
    migrate(database.url)
    assert database.execute(audit_events.select()) == records != []
    assert differences(database.url) == []


def test_the_audit_log_is_written_while_it_gets_an_index(database_before):
    """The functions of the version before go on while a migration runs, also where a large log takes it minutes."""
    with migration_under_way(database_before):
        assert log_in().status == 200
    assert differences(database_before) == []


def test_another_migration_leaves_an_index_that_is_being_made_alone(database_before):
    """It gives up, and ``migrate_schema`` tries again: whoever drops that index stops whoever writes."""
    code = "import sys; from tests.support.databases import migrate; migrate(sys.argv[1])"
    with migration_under_way(database_before):
        # In a process of its own: Alembic has one migration in each.
        another = subprocess.run(
            [sys.executable, "-c", code, database_before],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "somebody else is making" in another.stderr
        assert log_in().status == 200
    assert differences(database_before) == []


def test_what_is_left_of_an_index_while_a_migration_waits_is_not_taken_for_it_either(database_before):
    """Of two at once, the other may be cut off: then the revision must not say that the index is there."""
    log_in()
    engine = autocommit(database_before)

    @event.listens_for(engine, "before_cursor_execute")
    def be_the_other(_connection, _cursor, statement, *_):
        if statement.lstrip().startswith(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX}"):
            with autocommit(database_before).connect() as other, pytest.raises(IntegrityError):
                other.execute(text(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON audit_events (severity)"))

    with engine.connect() as connection:
        with pytest.raises(CommandError, match="cut off"):
            upgrade(connection)
        assert current_revision(connection) == "0004"
    migrate(database_before)
    assert differences(database_before) == []


def test_an_index_that_is_there_stays(database_before):
    """Whoever has a very large log makes it in advance, and takes the time that it takes."""
    oid = text(f"SELECT to_regclass('{INDEX}')::oid")
    with autocommit(database_before).connect() as connection:
        connection.execute(text(f"CREATE INDEX {INDEX} ON audit_events (severity, time)"))
        made = connection.execute(oid).scalar_one()
        migrate(database_before)
        assert connection.execute(oid).scalar_one() == made


def test_what_a_cut_off_migration_leaves_of_an_index_is_not_taken_for_it(database_before):
    log_in()
    with autocommit(database_before).connect() as connection, ThreadPoolExecutor(1) as threads:
        with pytest.raises(IntegrityError):
            connection.execute(text(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON audit_events (severity)"))
        assert not connection.execute(IS_USABLE).scalar_one()
        with somebody_writing(database_before):
            migration = threads.submit(migrate, database_before)
            wait_until(lambda: connection.execute(DROPPING).all())
            assert log_in().status == 200
        migration.result(timeout=60)
        assert connection.execute(IS_USABLE).scalar_one()
    assert differences(database_before) == []


def test_processes_that_start_together_migrate_once(empty_database, environment):
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, environment, str(number)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    while len(list(environment.glob("ready-*"))) < len(starters):
        assert all(starter.poll() is None for starter in starters)
        time.sleep(0.01)
    (environment / "go").touch()
    loaded_alembic = sorted(starter.communicate(timeout=60)[0].strip() for starter in starters)
    assert [starter.returncode for starter in starters] == [0] * len(starters)
    assert loaded_alembic == ["False", "False", "True"]
    assert differences(empty_database) == []


@pytest.mark.usefixtures("deployed")
def test_a_deployed_stage_never_migrates(monkeypatch, postgres):
    with postgres.new_database(migrated=False) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        assert read(current_revision) is None
        start_fresh_environment()


def test_the_local_stage_migrates_at_the_first_use(empty_database):
    assert read(current_revision) == HEAD
    assert differences(empty_database) == []


def test_make_engine_itself_migrates_nothing(environment):
    own = make_engine(f"sqlite+pysqlite:///{environment / 'other.sqlite3'}", timeout=4, verify_server=False)
    with own.connect() as connection:
        assert inspect(connection).get_table_names() == []
    own.dispose()

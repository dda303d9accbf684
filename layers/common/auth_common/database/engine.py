"""The engine: which database the settings name, and how connections to it are made."""

import math
import os
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import certifi
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from auth_common.aws_calls import call_aws, load_boto3
from auth_common.database.migrations import migrate_local_database
from auth_common.database.time_limit import is_time_up, require_time
from auth_common.errors import Misconfigured
from auth_common.keys.shared_secrets import secret_text
from auth_common.settings import initialises_ahead, settings
from auth_common.snapshots import before_snapshot

#: What can be used, and the one driver that this service brings for each.
_DRIVERS: Final = {"postgresql": "psycopg", "auroradsql": "psycopg", "sqlite": "pysqlite"}
_HIGHEST_PORT: Final = 65_535
_NOT_VALID: Final = "is not a valid SQLAlchemy URL; percent-encode @ : / ? # in the password"
_SQLITE_OPTIONS: Final = {"timeout", "check_same_thread", "cached_statements", "detect_types", "isolation_level"}
#: Steps of SQLite's virtual machine, some milliseconds, between two looks at the clock.
_SQLITE_STEPS: Final = 100_000
#: Seconds that connecting may take, also where a statement may take longer.
_LONGEST_CONNECT: Final = 10
#: Seconds after which a connection to PostgreSQL is not used again: the environment may have been frozen, and a NAT
#: gateway on the way drops an idle connection after 350 without closing it.
_LONGEST_CONNECTION: Final = 300


@lru_cache(maxsize=1)
def shared_engine() -> Engine:
    """Make the engine at the first use of the environment, and in the ``local`` stage the schema with it."""
    engine = open_engine()
    if settings().stage == "local":
        try:
            migrate_local_database(engine, lock_file=settings().storage() / "migrate.lock")
        except OSError as error:
            message = (
                f"DATA_DIR: {settings().data_dir} must be a folder that the service can write to: {error.strerror}"
            )
            raise Misconfigured(message) from None
        # Its connection was in AUTOCOMMIT mode, of which SQLAlchemy leaves SQLite's driver beginning transactions.
        engine.dispose()
    return engine


def forget_deleted_rows() -> bool:
    """Empty SQLite's write-ahead log, which keeps pages as they were before a deletion. Return whether it is empty.

    Return False if another process was reading all the time. Other databases leave that to their operators.
    """
    if shared_engine().dialect.name != "sqlite":
        return True
    with shared_reading_engine().connect() as connection:
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return not busy


def open_engine(*, timeout: float | None = None) -> Engine:
    """Return an engine of the caller's own for the database that the settings name, whatever schema it has.

    Args:
        timeout: seconds, instead of the settings'.

    Raises:
        Misconfigured: they name none that can be used.
        ServiceUnavailable: Secrets Manager, which has its URL, throttles, refuses or is away.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    timeout = settings().database_timeout if timeout is None else timeout
    url = _database_url()
    try:
        return make_engine(url, timeout=timeout, verify_server=settings().stage != "local")
    except (ArgumentError, ValueError):
        message = f"{_setting()}: has an option with a value that is not valid"
        raise Misconfigured(message) from None
    except OSError as error:
        message = f"{_setting()}: the SQLite file {url.database} cannot be opened: {error.strerror}"
        raise Misconfigured(message) from None


def _setting() -> str:
    """Return which setting names the database."""
    if settings().database_url_secret_arn is not None:
        return "DATABASE_URL_SECRET_ARN"
    return "DATA_DIR" if settings().database_url is None else "DATABASE_URL"


def _database_url() -> URL:
    arn = settings().database_url_secret_arn
    if arn is not None:
        url = _parse_url(secret_text(arn, setting="DATABASE_URL_SECRET_ARN"))
        if url.get_backend_name() == "sqlite":
            raise Misconfigured("DATABASE_URL_SECRET_ARN: the secret is for a database that all environments share")
        return url
    if settings().database_url is not None:
        return _parse_url(settings().database_url or "")
    # Not by a text: the folder's name may have characters that mean something in a URL.
    return URL.create("sqlite+pysqlite", database=str(settings().storage() / "secure-backend.sqlite3"))


def _parse_url(text: str) -> URL:
    """Return SQLAlchemy's form of a URL that a setting has brought.

    Raises:
        Misconfigured: there is no engine for it. The text shows no part of the URL, which may be a part of a password.

    """
    begins = f"must begin with {' or '.join(f'{name}+{driver}://' for name, driver in _DRIVERS.items())}"
    try:
        url = make_url(text.strip())
        is_sqlite = url.get_backend_name() == "sqlite"
        if _DRIVERS.get(url.get_backend_name()) != url.get_driver_name():
            reason = begins
        elif url.port is not None and not 0 < url.port <= _HIGHEST_PORT:
            reason = f"the port must be from 1 to {_HIGHEST_PORT}"
        elif is_sqlite and not _names_sqlite_file(url):
            reason = "must name a file, as in sqlite+pysqlite:////absolute/path (four slashes)"
        elif not is_sqlite and "@" in f"{url.host} {url.database}":
            # What follows the first @ of a password. The client would log it as a host that it cannot find.
            reason = _NOT_VALID
        else:
            return url
    except NoSuchModuleError:
        reason = begins
    except (ArgumentError, ValueError):
        reason = _NOT_VALID
    message = f"{_setting()}: {reason}"
    raise Misconfigured(message) from None


def _names_sqlite_file(url: URL) -> bool:
    """Tell whether each function would open the same database: one in memory is another one for each of them."""
    name = url.database or ":memory:"
    return not url.host and name != ":memory:" and not name.startswith("file:") and url.query.keys() <= _SQLITE_OPTIONS


def forget_moved_database() -> bool:
    """Tell whether the secret has another URL by now, with a new password for example. If so, forget the old engine."""
    # Without an engine there is no old one. On the local stage the database was away when the schema was to be made.
    if settings().database_url_secret_arn is None or not shared_engine.cache_info().currsize:
        return False
    if _database_url() == shared_engine().url:
        return False
    shared_engine().dispose()
    shared_engine.cache_clear()
    shared_reading_engine.cache_clear()
    return True


@before_snapshot
def dispose_engines() -> None:
    """Close this environment's connections, if it has any: two environments must not share one."""
    if shared_engine.cache_info().currsize:
        shared_engine().dispose()


def _load_drivers() -> None:
    """Import what the first connection of a deployed stage imports: boto3, psycopg and the dialect."""
    load_boto3()
    with suppress(Misconfigured):  # the first request reports the wrong setting
        # Without DATABASE_URL a secret has it, and then it is a PostgreSQL's.
        create_engine(_parse_url(settings().database_url or "postgresql+psycopg://"))
        import auth_common.database.connection_timeouts  # noqa: F401, PLC0415 - psycopg, where it is used


@lru_cache(maxsize=1)
def shared_reading_engine() -> Engine:
    """Return the engine of this environment for statements that only read."""
    # SQLite's connections begin nothing unless ``_begin_immediate`` does. SQLAlchemy's AUTOCOMMIT would mean the same,
    # and cost a PRAGMA each time.
    options = {"reads_only": True} if shared_engine().dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    return shared_engine().execution_options(**options)


def make_engine(url: str | URL, *, timeout: float, verify_server: bool) -> Engine:
    """Return an engine for ``url`` (SQLite, PostgreSQL or Aurora DSQL).

    A Lambda environment serves one event at a time and needs one connection. The pool may grow for the threads of a
    test. ``hide_parameters`` keeps password hashes and personal data out of error messages and so out of logs.

    Args:
        url: SQLAlchemy's.
        timeout: seconds that connecting, a statement, a place in the pool, or the writer before us on SQLite may take.
        verify_server: whether a PostgreSQL must prove its name by TLS, whatever ``url`` says. libpq's own default goes
            on without TLS where the server has none (ASVS 5.0 12.3.1, 12.3.2). An Aurora DSQL always must.

    """
    options: dict[str, Any] = {"hide_parameters": True, "pool_size": 1, "max_overflow": 63, "pool_timeout": timeout}
    where = make_url(url)
    if where.get_backend_name() != "sqlite":
        from auth_common.database.connection_timeouts import connect_with  # noqa: PLC0415 - psycopg, 285 ms: where it is used

        by_iam = where.get_backend_name() == "auroradsql"
        # libpq takes whole seconds, and 2 at the least.
        connect_timeout = math.ceil(min(timeout, _LONGEST_CONNECT))
        arguments = {"connect_timeout": connect_timeout, **(_prove_name(where) if verify_server or by_iam else {})}
        engine = create_engine(where, **options, pool_recycle=_LONGEST_CONNECTION, connect_args=arguments)
        password = partial(_dsql_token, where) if by_iam else None
        event.listen(engine, "do_connect", connect_with(timeout, password=password))
        event.listen(engine, "before_cursor_execute", require_time)
        return engine
    engine = create_engine(where, **options, connect_args={"timeout": timeout})
    file = Path(str(where.database))
    _make_private(file)
    check = partial(_check_same_file, file, _identity(file))
    event.listen(engine, "do_connect", check)
    event.listen(engine, "checkout", check)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    event.listen(engine, "before_cursor_execute", require_time)
    return engine


def _prove_name(url: URL) -> dict[str, str]:
    """Return libpq's settings for that. ``url`` may name authorities of its own, such as those of Amazon RDS."""
    # psycopg's wheel has an OpenSSL of its own, which looks for authorities where no system keeps them.
    return {"sslmode": "verify-full", "sslrootcert": str(url.query.get("sslrootcert", certifi.where()))}


def _dsql_token(url: URL) -> str:
    """Return what proves to Aurora DSQL for the next minutes, by IAM, that we may connect as the user in ``url``.

    It is asked for at connecting only, and made here, without a call to AWS.

    Raises:
        ServiceUnavailable: there are no credentials.

    """
    operation = "generate_db_connect_admin_auth_token" if url.username == "admin" else "generate_db_connect_auth_token"
    return str(call_aws("dsql", operation, Hostname=url.host))


def _make_private(file: Path) -> None:
    """Create the database file with mode 0600: SQLite would follow the umask and let every local user read it.

    Raises:
        OSError: it cannot be opened for writing.

    """
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what two files of one name differ in, or None if there is no file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_same_file(file: Path, identity: tuple[int, int] | None, *_: object) -> None:
    """Raise if the database was removed or replaced while this environment uses it.

    Its connections would go on with the old file, which has no name any more: what they commit would be lost.

    Raises:
        Misconfigured: it was.

    """
    if _identity(file) != identity:
        message = (
            f"{_setting()}: the SQLite file {file} was removed or replaced under the running service. Stop the "
            "service, put the database in its place without files that end in -wal and -shm, and start it again"
        )
        raise Misconfigured(message)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver starts no transactions: the listener below does
    # A text that is not UTF-8 would otherwise end the query that returns it, whatever else the query returns.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    # SQLite has no other end for a statement that takes too long.
    connection.set_progress_handler(is_time_up, _SQLITE_STEPS)
    # secure_delete overwrites what is deleted. Otherwise an erased user's data would stay in free pages.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock at the start, and not at the first write, makes a busy database a wait instead of an
    # error: a transaction that has read cannot be given the lock later (SQLITE_BUSY_SNAPSHOT).
    options = connection.get_execution_options()
    if not options.get("reads_only") and options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


# A snapshot contains what is imported now. In other environments the first use imports it, or nothing ever does.
if initialises_ahead():
    _load_drivers()

"""The SQLAlchemy engine of the database that the settings name, and how its connections are made."""

import math
import os
import select
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import certifi
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError

from auth_common.aws_calls import call_aws, load_boto3
from auth_common.database.migrations import migrate_local_database
from auth_common.database.pipeline import listen_for_waiting_writes
from auth_common.database.time_limit import require_time
from auth_common.errors import Misconfigured
from auth_common.keys.shared_secrets import secret_text
from auth_common.settings import initialises_ahead, settings
from auth_common.snapshots import before_snapshot

#: The supported databases, each with its driver.
_DRIVERS: Final = {"postgresql": "psycopg", "auroradsql": "psycopg", "sqlite": "pysqlite"}
_MAX_PORT: Final = 65_535
_NOT_VALID: Final = "is not a valid SQLAlchemy URL; percent-encode @ : / ? # in the password"
_SQLITE_OPTIONS: Final = {"timeout", "check_same_thread", "cached_statements", "detect_types", "isolation_level"}
#: The dialect and driver of ``database.sqlite``.
_SQLITE: Final = "sqlite+immediate"
#: The longest time for connecting, even if a statement may take longer.
_MAX_CONNECT_SECONDS: Final = 10
#: The age after which a connection to PostgreSQL is not used again. The environment may have been frozen, and a NAT
#: gateway drops an idle connection after 350 seconds without closing it.
_MAX_CONNECTION_SECONDS: Final = 300

registry.register(_SQLITE.replace("+", "."), "auth_common.database.sqlite", "ImmediateDialect")


@lru_cache(maxsize=1)
def shared_engine() -> Engine:
    """Return the engine of this environment. The first call makes it and, in the ``local`` stage, the schema."""
    engine = open_engine()
    if settings().stage == "local":
        try:
            migrate_local_database(engine, lock_file=settings().storage() / "migrate.lock")
        except OSError as error:
            message = (
                f"DATA_DIR: {settings().data_dir} must be a folder that the service can write to: {error.strerror}"
            )
            raise Misconfigured(message) from None
    return engine


def empty_write_ahead_log() -> bool:
    """Empty SQLite's write-ahead log, which still has the pages from before a deletion. Return whether it is empty.

    Return False if another process was reading all the time. Return True for other databases, whose logs are up to
    their operators.
    """
    if shared_engine().dialect.name != "sqlite":
        return True
    with shared_reading_engine().connect() as connection:
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return not busy


def open_engine(*, timeout: float | None = None) -> Engine:
    """Return a new engine for the database that the settings name, whatever its schema is.

    Args:
        timeout: In seconds. None means ``DATABASE_TIMEOUT``.

    Raises:
        Misconfigured: The settings name no database that can be used.
        ServiceUnavailable: Secrets Manager, which has the URL, throttles, rejects the request or is away.
        StorageNotMounted: The ``local`` stage has no storage.

    """
    timeout = settings().database_timeout if timeout is None else timeout
    url = _database_url()
    try:
        return make_engine(
            url, timeout=timeout, verify_server=settings().stage != "local", pipelined=settings().database_pipeline
        )
    except (ArgumentError, ValueError):
        message = f"{_setting()}: an option of the URL has a value that is not valid"
        raise Misconfigured(message) from None
    except OSError as error:
        message = f"{_setting()}: the SQLite file {url.database} cannot be opened: {error.strerror}"
        raise Misconfigured(message) from None


def _setting() -> str:
    """Return the name of the setting that names the database."""
    if settings().database_url_secret_arn is not None:
        return "DATABASE_URL_SECRET_ARN"
    return "DATA_DIR" if settings().database_url is None else "DATABASE_URL"


def _database_url() -> URL:
    arn = settings().database_url_secret_arn
    if arn is not None:
        url = _parse_url(secret_text(arn, setting="DATABASE_URL_SECRET_ARN"))
        if url.get_backend_name() == "sqlite":
            raise Misconfigured("DATABASE_URL_SECRET_ARN: the secret must name a database that all environments share")
        return url
    if settings().database_url is not None:
        return _parse_url(settings().database_url or "")
    # The folder's name may have characters with a meaning in URLs, so the URL is not made from a text.
    return URL.create("sqlite+pysqlite", database=str(settings().storage() / "secure-backend.sqlite3"))


def _parse_url(text: str) -> URL:
    """Return the SQLAlchemy URL of a setting's text.

    Raises:
        Misconfigured: There is no engine for it. The message shows no part of the URL, because it may be a part of the
            password.

    """
    begins = f"must begin with {' or '.join(f'{name}+{driver}://' for name, driver in _DRIVERS.items())}"
    try:
        url = make_url(text.strip())
        is_sqlite = url.get_backend_name() == "sqlite"
        if _DRIVERS.get(url.get_backend_name()) != url.get_driver_name():
            reason = begins
        elif url.port is not None and not 0 < url.port <= _MAX_PORT:
            reason = f"the port must be from 1 to {_MAX_PORT}"
        elif is_sqlite and not _names_sqlite_file(url):
            reason = "must name a file, as in sqlite+pysqlite:////absolute/path (four slashes)"
        elif not is_sqlite and "@" in f"{url.host} {url.database}":
            # The text after the first @ is a part of the password. The client would log it as an unknown host.
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
    """Return whether each function would open the same file. A database in memory belongs to one process."""
    name = url.database or ":memory:"
    return not url.host and name != ":memory:" and not name.startswith("file:") and url.query.keys() <= _SQLITE_OPTIONS


def discard_outdated_engine() -> bool:
    """Discard the engine if the secret has a new URL by now, for example with a new password. Return whether it has."""
    # Without an engine there is none to discard: in the local stage the database was away before the schema was made.
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
    """Close the connections of this environment, because two environments must not share one."""
    if shared_engine.cache_info().currsize:
        shared_engine().dispose()


def _load_drivers() -> None:
    """Import everything that the first connection of a deployed stage needs: boto3, psycopg and the dialect."""
    load_boto3()
    with suppress(Misconfigured):  # the first request reports the wrong setting
        # Without DATABASE_URL, a secret has the URL of a PostgreSQL.
        create_engine(_parse_url(settings().database_url or "postgresql+psycopg://"))
        import auth_common.database.pipelined_connections  # noqa: F401, PLC0415 - imports psycopg, so at its use


@lru_cache(maxsize=1)
def shared_reading_engine() -> Engine:
    """Return the engine of this environment for statements that only read."""
    return shared_engine().execution_options(isolation_level="AUTOCOMMIT")


def single_statement_engine() -> Engine:
    """Return the engine of this environment for a statement that writes and is a transaction of its own."""
    # On SQLite, BEGIN and COMMIT cost no round trip, and BEGIN waits for the write lock.
    return shared_engine() if shared_engine().dialect.name == "sqlite" else shared_reading_engine()


def make_engine(url: str | URL, *, timeout: float, verify_server: bool, pipelined: bool = True) -> Engine:
    """Return an engine for ``url`` (SQLite, PostgreSQL or Aurora DSQL).

    A Lambda environment serves one event at a time and needs one connection. The pool may grow for the threads of a
    test. ``hide_parameters`` keeps password hashes and personal data out of error messages and logs.

    Args:
        url: A SQLAlchemy URL.
        timeout: In seconds, for connecting, for a statement, for a free connection, and for SQLite's write lock.
        verify_server: Whether a PostgreSQL must prove its name by TLS, whatever ``url`` says. By default libpq connects
            without TLS if the server has none (ASVS 5.0 12.3.1, 12.3.2). An Aurora DSQL must always prove its name.
        pipelined: Whether several statements share a round trip to PostgreSQL or Aurora DSQL.

    """
    options: dict[str, Any] = {"hide_parameters": True, "pool_size": 1, "max_overflow": 63, "pool_timeout": timeout}
    url = make_url(url)
    if url.get_backend_name() != "sqlite":
        # The import of psycopg takes 285 ms, so only a function that uses it pays for it.
        from auth_common.database.connection_timeouts import TimedConnection, connect_with  # noqa: PLC0415
        from auth_common.database.pipelined_connections import PipelinedConnection  # noqa: PLC0415

        by_iam = url.get_backend_name() == "auroradsql"
        # libpq accepts whole seconds, at least 2.
        connect_timeout = math.ceil(min(timeout, _MAX_CONNECT_SECONDS))
        arguments = {"connect_timeout": connect_timeout, **(_tls_options(url) if verify_server or by_iam else {})}
        engine = create_engine(url, **options, pool_recycle=_MAX_CONNECTION_SECONDS, connect_args=arguments)
        password = partial(_dsql_token, url) if by_iam else None
        kind = PipelinedConnection if pipelined else TimedConnection
        event.listen(engine, "do_connect", connect_with(timeout, password=password, kind=kind))
        event.listen(engine, "checkout", _require_open)
        _watch_deadline(engine)
        if pipelined:
            listen_for_waiting_writes(engine)
        return engine
    engine = create_engine(url.set(drivername=_SQLITE), **options, connect_args={"timeout": timeout})
    file = Path(str(url.database))
    _make_private(file)
    check = partial(_check_same_file, file, _identity(file))
    event.listen(engine, "do_connect", check)
    event.listen(engine, "checkout", check)
    _watch_deadline(engine)
    return engine


def _watch_deadline(engine: Engine) -> None:
    """Let each statement of ``engine`` raise DatabaseUnavailable after the deadline.

    The listeners are for events of the dialect, because those for events of the engine, such as
    ``before_cursor_execute``, cost more (``database.sqlite``).
    """
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        event.listen(engine, name, require_time)


def _require_open(connection: Any, *_: object) -> None:
    """Let the pool connect again if the server has closed an idle connection. This costs no round trip.

    Otherwise the first statement would find out. If it is a ``single_statement``, it is not repeated.

    Raises:
        DisconnectionError: The server has sent something, which is its last message or the end of the connection.

    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _tls_options(url: URL) -> dict[str, str]:
    """Return the options of libpq that require TLS and a verified server name.

    ``url`` may name its own file of certificate authorities, such as those of Amazon RDS.
    """
    # The OpenSSL in psycopg's wheel looks for authorities in a folder that no system has.
    return {"sslmode": "verify-full", "sslrootcert": str(url.query.get("sslrootcert", certifi.where()))}


def _dsql_token(url: URL) -> str:
    """Return a token, valid for some minutes, which proves by IAM that the function may connect as the user in ``url``.

    Each new connection needs one. boto3 makes it without a call to AWS.

    Raises:
        ServiceUnavailable: There are no AWS credentials.

    """
    operation = "generate_db_connect_admin_auth_token" if url.username == "admin" else "generate_db_connect_auth_token"
    return str(call_aws("dsql", operation, Hostname=url.host))


def _make_private(file: Path) -> None:
    """Create the database file with mode 0600. SQLite would follow the umask, so every local user could read it.

    Raises:
        OSError: The file cannot be opened for writing.

    """
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _identity(file: Path) -> tuple[int, int] | None:
    """Return device and inode, which tell apart two files of one name. Return None if there is no file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_same_file(file: Path, identity: tuple[int, int] | None, *_: object) -> None:
    """Raise if the database was removed or replaced while this environment uses it.

    Otherwise open connections would write to the old file, which has no name any more, and their commits would be lost.

    Raises:
        Misconfigured: The file was removed or replaced.

    """
    if _identity(file) != identity:
        message = (
            f"{_setting()}: the SQLite file {file} was removed or replaced under the running service. Stop the "
            "service, put the database in its place without files that end in -wal and -shm, and start it again"
        )
        raise Misconfigured(message)


# A snapshot contains all modules that are imported now. Other environments import them at their first use, if any.
if initialises_ahead():
    _load_drivers()

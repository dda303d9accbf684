"""SQLite's connections, and transactions that wait for its write lock.

``database.engine`` registers the dialect as ``sqlite+immediate``. The dialect itself begins the transactions. A
listener of the engine could do it too, but then SQLAlchemy prepares all events of the engine for each connection. That
takes a tenth of a refresh's instructions.
"""

import math
import sqlite3
import time
from functools import partial
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from auth_common.database.time_limit import is_time_up, remaining_seconds
from auth_common.errors import DatabaseUnavailable

#: Steps of SQLite's virtual machine between two checks of the deadline. They take some milliseconds.
_STEPS: Final = 100_000
#: Seconds between two tries to get the write lock. A transaction has it for some milliseconds.
_PAUSE: Final = 0.001
#: secure_delete overwrites deleted data. Otherwise an erased user's data would stay in free pages.
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "secure_delete = ON",
)


class ConfiguredConnection(sqlite3.Connection):
    """A connection whose transactions are begun by ``begin_immediate``, and not by the driver."""

    def __init__(self, file: str, *, timeout: float, **options: Any) -> None:
        """Accept the arguments of ``sqlite3.connect``. ``timeout`` is in seconds, for the locks of other connections.

        Raises:
            sqlite3.DatabaseError: The file is no database that can be used.

        """
        super().__init__(file, timeout=timeout, **options)
        self.timeout = timeout
        #: Whether each statement is a transaction of its own.
        self.is_autocommit = False
        self.isolation_level = None
        # Otherwise one text that is not UTF-8 would fail the whole query that returns it.
        self.text_factory = partial(str, encoding="utf-8", errors="replace")
        # SQLite has no other way to end a statement that takes too long.
        self.set_progress_handler(is_time_up, _STEPS)
        try:
            for pragma in _PRAGMAS:
                self.execute(f"PRAGMA {pragma}")
        except BaseException:
            self.close()
            raise

    def begin_immediate(self) -> None:
        """Begin a transaction that writes, as soon as SQLite's write lock is free.

        A transaction that requests the lock at its start waits for it. At its first write it would fail instead,
        because a transaction that has read cannot get the lock later (SQLITE_BUSY_SNAPSHOT).

        SQLite's own pauses between two tries grow to 100 ms, so that newcomers overtake those that wait the longest.
        With even pauses all waiters have the same chance.

        Raises:
            DatabaseUnavailable: The lock was not free within the timeout or until the deadline.
            sqlite3.DatabaseError: The file cannot be used.

        """
        until = time.monotonic() + min(self.timeout, remaining_seconds())
        self.execute("PRAGMA busy_timeout = 0")
        try:
            while not self._has_begun():
                if time.monotonic() >= until:
                    raise DatabaseUnavailable
                time.sleep(_PAUSE)
        finally:
            self.execute(f"PRAGMA busy_timeout = {math.ceil(self.timeout * 1000)}")

    def _has_begun(self) -> bool:
        """Begin a transaction. Return False if another connection has the write lock."""
        try:
            self.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            # An error of the driver has no such name.
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                return False
            raise
        return True


class ImmediateDialect(SQLiteDialect_pysqlite):
    """SQLite with ``ConfiguredConnection``."""

    supports_statement_cache = True

    def create_connect_args(self, url: URL) -> Any:
        """Return the arguments of a connection."""
        arguments, options = super().create_connect_args(url)
        return arguments, {**options, "factory": ConfiguredConnection}

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Set whether each statement is a transaction of its own (AUTOCOMMIT)."""
        dbapi_connection.is_autocommit = level == "AUTOCOMMIT"

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction that writes, except in AUTOCOMMIT mode."""
        if not dbapi_connection.is_autocommit:
            dbapi_connection.begin_immediate()

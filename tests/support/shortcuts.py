"""Shortcuts that make databases faster in tests than in the service. The import of this module switches them on.

Benchmarks do not import it. A listener of all engines would slow down each of them, even after its removal.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import Pool

from tests.support.databases import start_fresh_environment


class _CompiledStatements(dict[Any, Any]):
    """Compiled statements for all engines of a dialect. Otherwise each new environment would compile its statements."""

    @staticmethod
    def _shared(key: Any) -> Any:
        dialect, *rest = key
        return (type(dialect), *rest)

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._shared(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(self._shared(key), value)


_compiled_statements: Final = _CompiledStatements()


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_compiled_statements)


def _skip_sqlite_syncs(connection: Any, _record: object, _proxy: object) -> None:
    """Let SQLite not wait for the disk, which takes a third of the time of a test. Tests need no durability."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


event.listen(Pool, "checkout", _skip_sqlite_syncs)


@contextmanager
def durable_sqlite() -> Iterator[None]:
    """Let SQLite wait for the disk, as in the service, while the block runs."""
    event.remove(Pool, "checkout", _skip_sqlite_syncs)
    start_fresh_environment()
    try:
        yield
    finally:
        event.listen(Pool, "checkout", _skip_sqlite_syncs)
        start_fresh_environment()

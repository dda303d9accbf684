"""How the engine sets up SQLite: its settings, and who may read its files."""

import stat

import pytest
from sqlalchemy import Connection

from auth_common.transactions import read, transaction
from tests.support.faults import on_sqlite
from tests.support.shortcuts import durable_sqlite

pytestmark = pytest.mark.database


@on_sqlite
def test_sqlite_is_set_up_for_durability_and_integrity(database, monkeypatch):
    monkeypatch.setenv("DATABASE_TIMEOUT", "7")
    full = 2
    expected = {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "busy_timeout": 7_000,
    }

    def pragmas(connection: Connection) -> dict[str, object]:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}

    with durable_sqlite():
        assert read(pragmas) == expected


def test_new_sqlite_file_is_readable_only_by_its_owner(environment):
    transaction(lambda _: None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in environment.glob("*.sqlite3*")}
    assert modes["secure-backend.sqlite3"] == 0o600
    assert set(modes.values()) == {0o600}

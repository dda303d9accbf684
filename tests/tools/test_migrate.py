"""``uv run migrate``: the schema of a database that no deployment looks after."""

import pytest
from sqlalchemy import text

from auth_common.db.migrations import HEAD
from auth_common.db.tables import users
from auth_common.services import schema
from tests.support.databases import Database, start_fresh_environment
from tools.migrate import main


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(schema, "_PAUSE", 0.01)


@pytest.fixture
def empty(environment, postgres, monkeypatch):
    with postgres.new_database(migrated=False) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield Database("postgresql", url)
        start_fresh_environment()


def test_an_empty_database_gets_the_schema(empty, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"the schema is at revision {HEAD}\n"
    assert empty.count(users) == 0


def test_the_local_stages_own_database_gets_it_too(environment, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"the schema is at revision {HEAD}\n"
    assert (environment / "secure-backend.sqlite3").exists()


def test_a_database_that_refuses_is_told_with_its_reason(empty, capsys):
    empty.execute(text("CREATE VIEW users AS SELECT 1 AS id"))
    assert main([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "migrate: " in err
    assert "users" in err


def test_without_a_database_it_says_what_to_set(environment, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", "/nonexistent")
    assert main([]) == 1
    assert "DATA_DIR" in capsys.readouterr().err

"""``uv run migrate``: the schema of a database that no deployment looks after."""

import pytest
from sqlalchemy import text

from auth_common.database.migrations import HEAD
from auth_common.database.tables import users
from tools.operators.migrate import main

pytestmark = pytest.mark.database


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

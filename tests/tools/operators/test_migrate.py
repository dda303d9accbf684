"""``uv run migrate``: bring the schema of a database to the current revision."""

import pytest
from sqlalchemy import text

from auth_common.database.migrations import HEAD
from auth_common.database.tables import users
from tools.operators.migrate import main

pytestmark = pytest.mark.database


def test_empty_database_gets_the_schema(empty_database, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"the schema is at revision {HEAD}\n"
    assert empty_database.count(users) == 0


def test_database_of_the_local_stage_gets_the_schema(environment, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"the schema is at revision {HEAD}\n"
    assert (environment / "secure-backend.sqlite3").exists()


def test_error_of_the_database_is_printed(empty_database, capsys):
    empty_database.execute(text("CREATE VIEW users AS SELECT 1 AS id"))
    assert main([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "migrate: " in err
    assert "users" in err


def test_missing_data_folder_is_an_error_that_names_the_setting(environment, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", "/nonexistent")
    assert main([]) == 1
    assert "DATA_DIR" in capsys.readouterr().err

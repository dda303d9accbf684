"""Settings that name the database in a wrong or unusual way."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest
from sqlalchemy import make_url

import auth_common
from auth_common.database.migrations import current_revision
from auth_common.transactions import read
from tests.support import leaks
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, get_health, get_user, log_in, refresh, register, sign_up
from tools.operators import accounts, migrate

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("environment")]

PASSWORD = "hunter2hunter2"  # pragma: allowlist secret
AT = f"service:{PASSWORD}@"
UNUSABLE = [
    *("  ", "nonsense", "://", f"postgres://{AT}db.example/auth", f"postgresql:{AT}db.example/auth"),
    *(f"postgresql+{driver}://{AT}db.example/auth" for driver in ("psycopg2", "asyncpg", "nosuch")),
    *(f"{other}://{AT}db.example/auth" for other in ("mysql", "mysql+pymysql", "oracle", "https")),
    *(f"postgresql+psycopg://{AT}db.example:{port}/auth" for port in ("port", 0, 99999)),
    f"postgresql+psycopg://{AT}[::1/auth",
    f"postgresql+psycopg://{AT}127.0.0.1:9/auth?no_such_option={PASSWORD}",
    # Without percent-encoding, a part of the password would be read as the name of the host or the database.
    *(f"postgresql+psycopg://service:a@{PASSWORD}{rest}@127.0.0.1:9/auth" for rest in ("", "/b")),
    *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:name?mode=memory&uri=true"),
    *("sqlite://relative.sqlite3", "sqlite:relative.sqlite3", "sqlite:/absolute.sqlite3", "sqlite:////proc"),
    *("sqlite+aiosqlite:////tmp/other.sqlite3", "sqlite:////nonexistent/other.sqlite3"),
    *("sqlite:////tmp/other.sqlite3?timeout=long", "sqlite:////tmp/other.sqlite3?no_such_option=1"),
]


def misconfigured(log_lines):
    """Call the health check, which must fail. Return the error in its log line."""
    answer = get_health()
    assert (answer.status, answer.code) == (503, "service_unavailable")
    (record,) = [record for record in log_lines.records if record["level"] == "CRITICAL"]
    return record["error"]


@pytest.mark.asvs("16.5.1")
@pytest.mark.parametrize("url", UNUSABLE)
def test_unusable_url_is_503_and_named_in_the_log(monkeypatch, log_lines, capsys, url):
    leaks.remember(PASSWORD)
    monkeypatch.setenv("DATABASE_URL", url)
    assert "DATABASE_URL" in misconfigured(log_lines)
    for tool in (lambda: accounts.main(["enable", EMAIL]), lambda: migrate.main([])):
        assert tool() == 1
        complaint = capsys.readouterr().err
        assert "DATABASE_URL" in complaint
        assert "Traceback" not in complaint
        assert PASSWORD not in complaint


def test_white_space_around_a_url_is_ignored(monkeypatch, tmp_path):
    """A secret that was stored with ``echo`` ends with a line break."""
    monkeypatch.setenv("DATABASE_URL", f" sqlite+pysqlite:///{tmp_path}/other.sqlite3\n")
    assert read(current_revision) is not None
    assert (tmp_path / "other.sqlite3").exists()


@pytest.mark.parametrize("name", ["q?1", "q#1", "100% done", "%20", "ü", "a&b=c", "q?mode=memory&uri=true", "a:b@c"])
def test_data_dir_may_have_any_name(monkeypatch, tmp_path, name):
    folder = tmp_path / "data" / name
    folder.mkdir(parents=True)
    monkeypatch.setenv("DATA_DIR", str(folder))
    start_fresh_environment()
    sign_up()
    assert (folder / "secure-backend.sqlite3").exists()
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]


def test_migrations_run_from_a_folder_of_any_name(tmp_path, environment):
    folder = tmp_path / "100% done %(here)s a b"
    copytree(Path(auth_common.__file__).parent, folder / "auth_common")
    code = (
        "from auth_common.audit_log.writer import install_audit_writer; install_audit_writer();"
        "import auth_common.operations.health as it; it.check_health(); print(it.__file__)"
    )
    variables = {"PYTHONPATH": str(folder), "DATA_DIR": str(environment)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(folder))


@pytest.mark.parametrize("file", ["secure-backend.sqlite3", "migrate.lock"])
def test_data_dir_with_an_unwritable_file_is_misconfigured(environment, log_lines, file):
    (environment / file).mkdir()
    error = misconfigured(log_lines)
    assert "DATA_DIR" in error
    assert str(environment) in error


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_removed_or_replaced_sqlite_file_is_503_without_data_loss(environment, log_lines, how):
    """An account in a removed file would be lost at the end of the process."""
    account = sign_up()
    file = environment / "secure-backend.sqlite3"
    other = environment / "other"
    file.rename(other)
    if how == "replaced":
        file.write_bytes(other.read_bytes())
    for answer in (register(email="lost@example.com"), log_in(), get_user(account.id, token=account.access_token)):
        assert (answer.status, answer.code) == (503, "service_unavailable")
    assert any(str(file) in record.get("error", "") for record in log_lines.records)
    assert file.exists() == (how == "replaced")
    other.replace(file)
    assert get_user(account.id, token=account.access_token).status == 200


@contextmanager
def database_with(postgres, name, options):
    postgres.execute(f"CREATE DATABASE {name} {options}")
    try:
        yield postgres.url(name)
    finally:
        start_fresh_environment()
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.quick
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252"])
def test_postgresql_with_another_encoding_is_misconfigured(monkeypatch, postgres, log_lines, capsys, encoding):
    options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with database_with(postgres, f"of_{encoding.lower()}", options) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        error = misconfigured(log_lines)
        assert "DATABASE_URL" in error
        assert encoding in error
        assert migrate.main([]) == 1
        assert "UTF8" in capsys.readouterr().err


#: Each test uses one value of each setting.
SETTINGS = {
    "DateStyle": ["SQL, DMY", "Postgres, MDY", "German", "ISO, DMY"],
    "IntervalStyle": ["iso_8601", "sql_standard"],
    "TimeZone": ["America/St_Johns", "<+03>-3", "Asia/Kathmandu"],
    "bytea_output": ["escape"],
    "client_encoding": ["LATIN1", "SQL_ASCII"],
    "standard_conforming_strings": ["off"],
    "backslash_quote": ["on"],
    "default_transaction_isolation": ["serializable", "read uncommitted"],
    "default_transaction_read_only": ["on"],
    "default_transaction_deferrable": ["on"],
    "extra_float_digits": ["-15"],
    "search_path": ["public, pg_catalog"],
    "lc_messages": ["C"],
    "array_nulls": ["off"],
    "quote_all_identifiers": ["on"],
}


@pytest.mark.quick
@pytest.mark.parametrize("number", range(max(map(len, SETTINGS.values()))))
def test_postgresql_with_unusual_settings_works(monkeypatch, postgres, number):
    with postgres.new_database(migrated=True) as url:
        for setting, values in SETTINGS.items():
            value = values[number % len(values)]
            literal = value if setting == "search_path" else f"'{value}'"
            postgres.execute(f"ALTER DATABASE {make_url(url).database} SET {setting} = {literal}")
        monkeypatch.setenv("DATABASE_URL", url)
        account = sign_up()
        assert get_health().status == 200
        assert refresh(account.refresh_token).status == 200
        user = get_user(account.id, token=account.access_token)
        assert (user.status, user.json["date_of_birth"]) == (200, "1980-04-14")
        assert register(email="other@example.com", name="王 Zoë").status == 201
        start_fresh_environment()

"""Fixtures of all tests: a new environment, databases, AWS, and a search for secrets in the output."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, settings
from moto import mock_aws

from auth_common.database import engine
from auth_common.database.privileges import SERVICE_ROLE
from auth_common.database.tables import audit_salts, refresh_tokens, users
from auth_common.settings import Settings
from tests.support import event_schema, leaks, shortcuts  # noqa: F401 - the import of shortcuts switches them on
from tests.support import log_lines as logs
from tests.support.aurora_dsql import aurora_dsql_stand_in
from tests.support.aws_services import REGION
from tests.support.clocks import skip_pauses
from tests.support.databases import (
    Database,
    PostgresServer,
    dsql_url,
    migrate,
    running_postgres,
    start_fresh_environment,
)
from tests.support.requirements import require
from tests.support.sam import Sam, require_docker, running_sam

pytest_plugins = ["tests.support.quick_run"]

# "repeatable" tries the same examples in each run, so that no run fails by chance. "long" (make fuzz) tries new ones.
# There are no deadlines, because a machine may be busy. A fixture may serve all examples of a test.
_NO_HEALTH_CHECK = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=_NO_HEALTH_CHECK)
settings.register_profile("long", max_examples=2_000, deadline=None, suppress_health_check=_NO_HEALTH_CHECK)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A run under nohup ignores SIGHUP, and child processes inherit that. They do not inherit a handler.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# A test without the fixture "environment" has no storage, so that no test writes to the developer's data.
os.environ["DATA_DIR"] = "/nonexistent"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output contains a secret that the test issued, or a security event that violates its schema."""
    report = yield
    if report.when == "teardown":
        output = report.capstdout + report.capstderr
        found = leaks.lines_with_secrets(output)
        leaks.forget()
        if found:
            report.outcome = "failed"
            report.longrepr = "\n".join([f"{item.nodeid} has written a secret:", *found])
        elif faults := event_schema.schema_errors_in(output):
            report.outcome = "failed"
            report.longrepr = "\n".join([f"{item.nodeid} has written invalid security events:", *faults])
    return report


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A new environment of the stage ``local`` with an empty data folder, which is the fixture's value."""
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BCRYPT_COST", "4")
    monkeypatch.setenv("DATABASE_TIMEOUT", "60")  # A machine may be busy.
    monkeypatch.setattr(os, "fsync", lambda _: None)  # New secrets need not survive a power failure.
    start_fresh_environment()
    yield tmp_path
    start_fresh_environment()
    leaks.remember(*(path.read_bytes() for path in [*tmp_path.glob("pepper"), *tmp_path.glob("audit-key")]))
    leaks.remember(*(line for path in tmp_path.glob("keys/*.pem") for line in path.read_text().splitlines()[1:-1]))


@pytest.fixture
def set_variables(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that starts a new environment with these variables."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        start_fresh_environment()

    return set_variables


@pytest.fixture
def deployed_settings(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the settings that a deployed stage requires. The stage is ``prod``."""
    for name, value in {
        "STAGE": "prod",
        "DATABASE_URL": "postgresql+psycopg://service:hunter2@db.example/auth",
        "BCRYPT_COST": "12",
        "WEBAUTHN_RP_ID": "example.com",
        "WEBAUTHN_ORIGINS": "https://login.example.com",
        "DATA_DIR": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def _aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def aws(_aws_credentials: None) -> Iterator[None]:
    """AWS simulated by moto. boto3 is the real one, and moto's KMS makes real signatures."""
    with mock_aws():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started for the first test that uses it."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except Exception as error:  # noqa: BLE001 - the server of the wheel may fail on a machine for any reason
            require(condition=False, reason=f"PostgreSQL does not start here: {error!r}")
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema, which tests copy because a migration takes ten times as long."""
    file = tmp_path_factory.mktemp("migrated") / "database.sqlite3"
    migrate(f"sqlite+pysqlite:///{file}")
    return file


#: The databases of a test by marker. Without a marker, a test runs on SQLite and PostgreSQL.
_DATABASES = {"sqlite": ["sqlite"], "aurora_dsql": ["sqlite", "postgresql", "auroradsql"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test with the fixture ``database`` once for each database of its marker."""
    chosen = any("database" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "database" in metafunc.fixturenames and not chosen:
        # The closest marker comes first, so the marker of a test overrides the marker of its module.
        marks = (mark.name for mark in metafunc.definition.iter_markers() if mark.name in _DATABASES)
        databases = _DATABASES.get(next(marks, ""), ["sqlite", "postgresql"])
        metafunc.parametrize("database", databases, indirect=True)


@pytest.fixture(scope="session")
def _standing_in_for_aurora_dsql(postgres: PostgresServer) -> Iterator[None]:
    with aurora_dsql_stand_in(socket=postgres.socket):
        yield


@pytest.fixture
def aurora_dsql(postgres: PostgresServer, _aws_credentials: None, _standing_in_for_aurora_dsql: None) -> PostgresServer:
    """The stand-in for Aurora DSQL, and AWS credentials to create its tokens."""
    return postgres


@pytest.fixture
def _trusted_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new environments trust the schema, as deployed stages do. The stage ``local`` would connect to check it.

    tests/layers/database overrides this fixture.
    """
    monkeypatch.setattr(engine, "migrate_local_database", lambda *_, **__: None)


@pytest.fixture
def database(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, environment: Path, _trusted_schema: None
) -> Iterator[Database]:
    """A database with the schema and no rows, which the service uses. ``pytest_generate_tests`` selects its kind."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            file = environment / "secure-backend.sqlite3"
            shutil.copy(request.getfixturevalue("migrated_sqlite_file"), file)
            url = f"sqlite+pysqlite:///{file}"
        elif request.param == "postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres")
            url = stack.enter_context(postgres.emptied_database())
            monkeypatch.setenv("DATABASE_URL", url)
        else:
            cluster = stack.enter_context(request.getfixturevalue("aurora_dsql").emptied_cluster())
            url = dsql_url(cluster, user="admin")
            monkeypatch.setenv("DATABASE_URL", dsql_url(cluster, user=SERVICE_ROLE))
        database = Database(request.param, url)
        yield database
        _remember_stored_hashes(database)
        start_fresh_environment()


@pytest.fixture
def empty_database(environment: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A PostgreSQL database without the schema, whose owner the service connects as. Retries have no pauses."""
    skip_pauses(monkeypatch)
    with postgres.new_database(migrated=False) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield Database("postgresql", url)
        start_fresh_environment()


def _remember_stored_hashes(database: Database) -> None:
    leaks.remember(*database.values(users.c.password_hash, refresh_tokens.c.token_hash, audit_salts.c.salt))


@pytest.fixture
def registration_without_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make registrations queue no mail, in tests that look at the mails that they queue themselves."""
    monkeypatch.setattr("auth_common.accounts.registration.queue_mail_with_token", lambda *_, **__: None)


@pytest.fixture
def kms(environment: Path, aws: None) -> Any:
    """A boto3 client of moto's KMS, which makes real signatures."""
    return boto3.client("kms")


@pytest.fixture
def key_arn(kms: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ARN of a new key in KMS, which signs access tokens in this test."""
    arn: str = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("SIGNING_KEY_ARN", arn)
    return arn


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[logs.LogLines]:
    """The output of the functions during this test."""
    lines = logs.LogLines(capsys)
    yield lines
    # Reading the output removes it from pytest. Print it again, so that the search for secrets finds it.
    sys.stdout.write(lines.text)


@pytest.fixture(scope="session")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam]:
    """SAM as `make sam` serves it, shared by the whole session because it takes half a minute to start."""
    require_docker()
    with running_sam(tmp_path_factory.mktemp("sam") / "sam.log") as running:
        yield running

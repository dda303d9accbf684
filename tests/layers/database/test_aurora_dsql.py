"""Aurora DSQL: how the service connects, how it stores keys, and which statements the stand-in rejects."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from auth_common.database.engine import make_engine
from auth_common.database.tables import KeyBytes, throttles
from auth_common.errors import ServiceUnavailable
from auth_common.transactions import read
from tests.support.aurora_dsql import RejectedByAuroraDSQL
from tests.support.databases import dsql_url, start_fresh_environment
from tests.support.impostors import REJECTION, listen, receive_password
from tests.support.processes import wait_until

pytestmark = pytest.mark.database


@pytest.fixture
def admin(aurora_dsql):
    """The admin's engine of an emptied cluster with the schema."""
    with aurora_dsql.emptied_cluster() as name:
        yield create_engine(dsql_url(name, user="admin"), poolclass=NullPool)


def is_later(second):
    """Return whether another second has begun. The time in a token has no smaller unit."""
    return int(time.time()) > second


def passwords(certificate, *, user, times):
    """Yield the passwords of ``times`` connections, one after the other, to a server that requires a password."""
    query = f"hostaddr=127.0.0.1&sslrootcert={certificate}"
    with closing(listen()) as listener, ThreadPoolExecutor(1) as threads:
        url = f"auroradsql+psycopg://{user}@localhost:{listener.getsockname()[1]}/postgres?{query}"
        engine = make_engine(url, timeout=30, verify_server=False)
        for _ in range(times):
            sent = threads.submit(receive_password, listener, certificate)
            with pytest.raises(OperationalError, match=REJECTION):
                engine.connect()
            yield sent.result(timeout=60)
            wait_until(partial(is_later, int(time.time())))


@pytest.mark.asvs("12.3.5", "13.2.1")
@pytest.mark.threat("database-stranger-logs-in")
@pytest.mark.parametrize(("user", "action"), [("secure_backend", "DbConnect"), ("admin", "DbConnectAdmin")])
def test_each_connection_has_its_own_iam_token(aurora_dsql, certificate, user, action):
    dates = []
    for password in passwords(certificate, user=user, times=2):
        url = urlsplit(f"https://{password}")
        token = {name: value for name, (value,) in parse_qs(url.query).items()}
        assert (url.hostname, token["Action"]) == ("localhost", action)
        assert token["X-Amz-Credential"].endswith("/eu-central-1/dsql/aws4_request")
        assert int(token["X-Amz-Expires"]) <= 15 * 60
        dates.append(datetime.strptime(token["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    assert dates[0] < dates[1]


@pytest.mark.usefixtures("environment")
def test_connection_without_credentials_is_unavailable(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("DATABASE_URL", dsql_url("nowhere", user="secure_backend"))
    with pytest.raises(ServiceUnavailable):
        read(lambda _: None)
    start_fresh_environment()


def test_binary_key_is_stored_as_text_and_read_as_bytes():
    """Aurora DSQL has no index on ``bytea``."""
    kind, dialect = KeyBytes(16), create_engine(dsql_url("nowhere", user="admin")).dialect
    for value in (b"", b"\0", b"\xff" * 16, bytes(range(16)), None):
        stored = kind.process_bind_param(value, dialect)
        assert kind.process_result_value(stored, dialect) == value
        assert stored is None or (isinstance(stored, str) and len(stored) <= 22)


def test_transactions_of_the_stand_in_are_repeatable_read(admin):
    """Aurora DSQL has this isolation level only. The tests of concurrent requests meet its conflicts then."""
    with admin.connect() as connection:
        assert connection.scalar(text("SELECT current_setting('transaction_isolation')")) == "repeatable read"


REJECTED = [
    *("SAVEPOINT here", "TRUNCATE throttles", "LOCK TABLE throttles", "SET statement_timeout = 1000"),
    *("CREATE TEMPORARY TABLE mine (id integer)", "CREATE TABLE mine (id SERIAL)", "CREATE EXTENSION pgcrypto"),
    *("CREATE INDEX mine ON throttles (failures)", "CREATE INDEX ASYNC mine ON throttles (failures DESC)"),
    "CREATE INDEX ASYNC CONCURRENTLY mine ON throttles (failures)",
    *("SELECT pg_advisory_xact_lock(1)", "SELECT * FROM users FOR UPDATE"),
    "SELECT users.id FROM users JOIN sessions ON true FOR UPDATE",
    'SELECT name FROM users ORDER BY name COLLATE "C"',
    "UPDATE throttles SET failures = 1, key = 'another'",
]


def test_stand_in_rejects_statements_that_aurora_dsql_rejects(admin):
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in REJECTED:
            with pytest.raises(RejectedByAuroraDSQL):
                connection.execute(text(statement))


def test_stand_in_rejects_ddl_and_too_many_rows_in_a_transaction(admin):
    with pytest.raises(RejectedByAuroraDSQL), admin.begin() as connection:
        connection.execute(text("CREATE TABLE mine (id integer)"))
    now = datetime.now(UTC)
    row = {"failures": 0, "started_at": now, "refusal_recorded": False, "expires_at": now}
    rows = [{"key": number.to_bytes(16), **row} for number in range(3_001)]
    with pytest.raises(RejectedByAuroraDSQL), admin.begin() as connection:
        connection.execute(insert(throttles), rows)
    with admin.begin() as connection:
        connection.execute(insert(throttles), rows[1:])
        assert set(connection.scalars(select(throttles.c.key))) == {row["key"] for row in rows[1:]}

"""Aurora DSQL: how the service gets in, what it keeps there, and what its stand-in in these tests refuses."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from auth_common.db.engine import make_engine, read
from auth_common.db.tables import KeyBytes, throttles
from auth_common.errors import ServiceUnavailable
from tests.support.aurora_dsql import RefusedByAuroraDSQL
from tests.support.databases import dsql_url, start_fresh_environment
from tests.support.impostors import REFUSAL, listen, password_sent

pytestmark = pytest.mark.database


@pytest.fixture
def cluster(aurora_dsql):
    with aurora_dsql.new_cluster(migrated=True) as name:
        yield name


def admin(cluster):
    return create_engine(dsql_url(cluster, user="admin"), poolclass=NullPool)


def passwords(certificate, *, user, times):
    """Return what proves our right to two connections, one after the other, to a server that asks for passwords."""
    query = f"hostaddr=127.0.0.1&sslrootcert={certificate}"
    with closing(listen()) as listener, ThreadPoolExecutor(1) as threads:
        url = f"auroradsql+psycopg://{user}@localhost:{listener.getsockname()[1]}/postgres?{query}"
        engine = make_engine(url, timeout=30, verify_server=False)
        for _ in range(times):
            sent = threads.submit(password_sent, listener, certificate)
            with pytest.raises(OperationalError, match=REFUSAL):
                engine.connect()
            yield sent.result(timeout=60)
            time.sleep(1)  # a token's time has seconds


@pytest.mark.asvs("12.3.5", "13.2.1")
@pytest.mark.threat("database-stranger-logs-in")
@pytest.mark.parametrize(("user", "action"), [("secure_backend", "DbConnect"), ("admin", "DbConnectAdmin")])
def test_each_connection_is_made_with_a_token_of_its_own(aurora_dsql, certificate, user, action):
    first, second = (urlsplit(f"https://{token}") for token in passwords(certificate, user=user, times=2))
    assert first.hostname == second.hostname == "localhost"
    dates = []
    for token in (parse_qs(first.query), parse_qs(second.query)):
        assert token["Action"] == [action]
        assert token["X-Amz-Credential"][0].endswith("/eu-central-1/dsql/aws4_request")
        assert int(token["X-Amz-Expires"][0]) <= 15 * 60
        dates.append(datetime.strptime(token["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    assert dates[0] < dates[1]


@pytest.mark.usefixtures("environment")
def test_without_credentials_the_answer_is_503(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("DATABASE_URL", dsql_url("nowhere", user="secure_backend"))
    with pytest.raises(ServiceUnavailable):
        read(lambda _: None)
    start_fresh_environment()


@pytest.mark.parametrize("value", [b"", b"\0", b"\xff" * 16, bytes(range(16)), None])
def test_binary_keys_come_back_as_they_went_in(cluster, value):
    """As text, since Aurora DSQL has no index of ``bytea``."""
    kind = KeyBytes(16)
    with admin(cluster).connect() as connection:
        stored = kind.process_bind_param(value, connection.dialect)
        assert kind.process_result_value(stored, connection.dialect) == value
        assert stored is None or (isinstance(stored, str) and len(stored) <= 22)


@pytest.mark.parametrize(
    "statement",
    [
        "SAVEPOINT here",
        "TRUNCATE throttles",
        "LOCK TABLE throttles",
        "SET statement_timeout = 1000",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE TABLE mine (id SERIAL)",
        "CREATE INDEX mine ON throttles (failures)",
        "CREATE INDEX ASYNC mine ON throttles (failures DESC)",
        "CREATE INDEX ASYNC CONCURRENTLY mine ON throttles (failures)",
        "CREATE EXTENSION pgcrypto",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT * FROM users FOR UPDATE",
        "SELECT users.id FROM users JOIN sessions ON true FOR UPDATE",
        'SELECT name FROM users ORDER BY name COLLATE "C"',
        "UPDATE throttles SET failures = 1, key = 'another'",
    ],
)
def test_the_stand_in_refuses_what_aurora_dsql_refuses(cluster, statement):
    with (
        admin(cluster).connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(RefusedByAuroraDSQL),
    ):
        connection.execute(text(statement))


def test_the_stand_in_refuses_to_change_the_schema_in_a_transaction(cluster):
    with pytest.raises(RefusedByAuroraDSQL), admin(cluster).begin() as connection:
        connection.execute(text("CREATE TABLE mine (id integer)"))


def test_the_stand_in_refuses_more_rows_in_a_transaction_than_aurora_dsql_takes(cluster):
    now = datetime.now(UTC)
    row = {"failures": 0, "started_at": now, "refusal_recorded": False, "expires_at": now}
    rows = [{"key": number.to_bytes(16), **row} for number in range(3_001)]
    with pytest.raises(RefusedByAuroraDSQL), admin(cluster).begin() as connection:
        connection.execute(insert(throttles), rows)
    with admin(cluster).begin() as connection:
        connection.execute(insert(throttles), rows[1:])
        assert set(connection.scalars(select(throttles.c.key))) == {row["key"] for row in rows[1:]}

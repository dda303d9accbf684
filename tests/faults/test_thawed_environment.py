"""Environments that Lambda froze for hours between two requests.

Meanwhile the database server has closed the connections, or a NAT gateway has dropped them, and cached values in memory
have expired.
"""

import httpx
import pytest
from sqlalchemy import select, text

from auth_common.database.tables import audit_events
from auth_common.keys.local_keys import rotate_local_key
from auth_common.keys.verification_keys import published_jwks
from tests.support.clocks import clock_off_by
from tests.support.factories import get_health, get_user, log_in, refresh, register, registration
from tests.support.faults import assert_no_partial_changes, on_postgresql, paused, service_backend
from tests.support.processes import descendants
from tests.support.runtime import running_runtime

pytestmark = [pytest.mark.database, pytest.mark.fault]

HOUR = 3_600


def close_all_connections(database):
    """Terminate every other connection to the database on the server, and wait for their end."""
    statement = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    assert all(ended for (ended,) in database.execute(text(statement)))


@on_postgresql
@pytest.mark.parametrize(
    "request_of",
    [
        lambda account: log_in(account.email),
        lambda account: refresh(account.refresh_token),
        lambda account: get_user(account.id, token=account.access_token),
        lambda _: register(email="other@example.com"),
        lambda _: get_health(),
    ],
    ids=["log in", "refresh", "get user", "register", "health"],
)
def test_first_request_after_a_thaw_uses_a_new_connection(database, account, request_of):
    close_all_connections(database)
    assert request_of(account).status in {200, 201}
    assert_no_partial_changes(database)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@on_postgresql
def test_silently_dropped_connection_is_not_used_again(database, account):
    """A NAT gateway drops an idle connection without notice, so a statement on it would wait for its timeout."""
    with paused(service_backend()), clock_off_by(HOUR):
        assert log_in().status == 200


def test_audit_chain_ends_after_a_day(database, account):
    with clock_off_by(23 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 1
    with clock_off_by(25 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 2
    assert_no_partial_changes(database)


@pytest.mark.usefixtures("environment")
def test_key_that_expired_during_a_freeze_is_not_published():
    rotate_local_key()
    assert len(published_jwks()["keys"]) == 2
    with clock_off_by(HOUR):
        assert len(published_jwks()["keys"]) == 1


@on_postgresql
def test_frozen_workers_serve_requests_after_the_thaw(database, environment):
    with (
        running_runtime(environment / "service", env={"DATABASE_URL": database.url}) as runtime,
        httpx.Client(base_url=runtime.url, timeout=60) as client,
    ):
        user = registration()
        credentials = {"email": user["email"], "password": user["password"]}
        assert client.post("/users", json=user).status_code == 201
        assert client.post("/login", json=credentials).status_code == 200
        with paused(*descendants(runtime.process.pid)):
            close_all_connections(database)
        assert client.post("/login", json=credentials).status_code == 200
        assert client.post("/users", json={**user, "email": "other@example.com"}).status_code == 201

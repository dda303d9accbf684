"""An environment that was frozen for hours and thaws: Lambda keeps a process, and stops its time.

Meanwhile the server has closed its connections, or something on the way has forgotten them, and what was kept in memory
has grown old.
"""

import httpx
import pytest
from sqlalchemy import func, select, text

from auth_common.db.engine import read
from auth_common.db.tables import audit_events
from auth_common.security.local_keys import rotate_local_key
from auth_common.security.verification_keys import published_jwks
from tests.support.clocks import clock_off_by
from tests.support.events import proxy_event
from tests.support.factories import get_user, log_in, refresh, register, registration, sign_up
from tests.support.faults import assert_nothing_half_done, frozen
from tests.support.functions import call
from tests.support.processes import descendants
from tests.support.runtime import running_runtime

pytestmark = [pytest.mark.database, pytest.mark.fault]

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
HOUR = 3_600


@pytest.fixture
def person(database):
    return sign_up()


def close_all_connections(database):
    """Let the server end every connection to its database but the one that asks, and wait until they are gone."""
    statement = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    assert all(ended for (ended,) in database.execute(text(statement)))


@on_postgresql
@pytest.mark.parametrize(
    "request_of",
    [
        lambda person: log_in(person.email),
        lambda person: refresh(person.refresh_token),
        lambda person: get_user(person.id, token=person.access_token),
        lambda _: register(email="other@example.com"),
        lambda _: call("health", proxy_event("GET", "/health")),
    ],
    ids=["log in", "refresh", "get user", "register", "health"],
)
def test_the_first_request_after_a_thaw_does_not_notice_that_the_server_has_hung_up(database, person, request_of):
    close_all_connections(database)
    assert request_of(person).status in {200, 201}
    assert_nothing_half_done(database)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@on_postgresql
def test_a_connection_that_died_without_a_word_is_not_used_again(database, person):
    """A NAT gateway forgets it, and nobody tells either end: a statement would wait for its timeout."""
    backend = read(lambda connection: connection.execute(select(func.pg_backend_pid())).scalar_one())
    with frozen(backend), clock_off_by(HOUR):
        assert log_in().status == 200


def test_a_chain_of_the_audit_log_does_not_go_on_after_a_day(database, person):
    with clock_off_by(23 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 1
    with clock_off_by(25 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 2
    assert_nothing_half_done(database)


@pytest.mark.usefixtures("environment")
def test_keys_that_were_retired_meanwhile_are_gone_from_what_was_kept():
    rotate_local_key()
    assert len(published_jwks()["keys"]) == 2
    with clock_off_by(HOUR):
        assert len(published_jwks()["keys"]) == 1


@on_postgresql
def test_stopped_workers_go_on_at_once_when_they_are_thawed(database, environment):
    with (
        running_runtime(environment / "service", env={"DATABASE_URL": database.url}) as runtime,
        httpx.Client(base_url=runtime.url, timeout=60) as client,
    ):
        person = registration()
        credentials = {"email": person["email"], "password": person["password"]}
        assert client.post("/users", json=person).status_code == 201
        assert client.post("/login", json=credentials).status_code == 200
        with frozen(*descendants(runtime.process.pid)):
            close_all_connections(database)
        assert client.post("/login", json=credentials).status_code == 200
        assert client.post("/users", json={**person, "email": "other@example.com"}).status_code == 201

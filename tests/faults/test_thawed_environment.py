"""An environment that was frozen for hours and thaws: Lambda keeps a process, and stops its time.

Meanwhile the server has closed its connections, or something on the way has forgotten them, and what was kept in memory
has grown old.
"""

import httpx
import pytest
from sqlalchemy import select, text

from auth_common.database.tables import audit_events
from auth_common.keys.local_keys import rotate_local_key
from auth_common.keys.verification_keys import published_jwks
from tests.support.clocks import clock_off_by
from tests.support.factories import get_health, get_user, log_in, refresh, register, registration
from tests.support.faults import assert_nothing_half_done, frozen, on_postgresql, service_backend
from tests.support.processes import descendants
from tests.support.runtime import running_runtime

pytestmark = [pytest.mark.database, pytest.mark.fault]

HOUR = 3_600


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
        lambda _: get_health(),
    ],
    ids=["log in", "refresh", "get user", "register", "health"],
)
def test_first_request_after_a_thaw_is_served_on_a_new_connection(database, person, request_of):
    close_all_connections(database)
    assert request_of(person).status in {200, 201}
    assert_nothing_half_done(database)


@pytest.mark.asvs("13.2.6", "15.4.3", "16.5.2")
@on_postgresql
def test_connection_that_died_without_a_word_is_not_used_again(database, person):
    """A NAT gateway forgets it without telling either end: a statement would wait for its timeout."""
    with frozen(service_backend()), clock_off_by(HOUR):
        assert log_in().status == 200


def test_chain_of_the_audit_log_ends_after_a_day(database, person):
    with clock_off_by(23 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 1
    with clock_off_by(25 * HOUR):
        assert log_in().status == 200
    assert len(database.execute(select(audit_events.c.chain_id).distinct())) == 2
    assert_nothing_half_done(database)


@pytest.mark.usefixtures("environment")
def test_key_that_expired_meanwhile_is_not_published():
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

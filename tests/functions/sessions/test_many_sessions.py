"""A user with more sessions than one transaction may change: 3,000 rows on Aurora DSQL, a batch of 1,000 elsewhere."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.pool import NullPool

from auth_common.database.tables import challenges, passkeys, sessions, users
from tests.support.factories import call_as, change_password, erase, log_in, refresh, session_id
from tests.support.passkeys import begin_registration, complete_registration, enrol
from tests.support.processes import wait_until
from tests.support.throttles import WRONG_PASSWORD
from tools.authenticator.software_authenticator import SoftwareAuthenticator

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

#: The number of transactions that wait for a lock.
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture
def many(database):
    return 3_100 if database.kind == "auroradsql" else 1_100


def add_sessions(database, account, number):
    """Copy a session of ``account`` ``number`` times."""
    (session,) = database.execute(select(sessions).where(sessions.c.user_id == UUID(account.id)).limit(1))
    for begin in range(0, number, 1_000):
        count = min(1_000, number - begin)
        database.insert(sessions, [session._asdict() | {"id": uuid4()} for _ in range(count)])


def live_sessions(database, account):
    live = select(sessions.c.id).where(sessions.c.user_id == UUID(account.id), sessions.c.revoked_at.is_(None))
    return {str(row.id) for row in database.execute(live)}


def revoked(log_lines):
    """Return how many sessions were revoked according to the security events, by reason."""
    counts: dict[str, int] = {}
    for event in log_lines.security_events:
        if event["name"] == "authn_token_revoked":
            counts[event["reason"]] = counts.get(event["reason"], 0) + event["sessions_ended"]
    return counts


@pytest.mark.aurora_dsql
def test_delete_sessions_of_thousands_revokes_all(database, person, other, log_lines, many):
    add_sessions(database, person, many)
    assert call_as(person.access_token, "sessions", "DELETE", "/sessions").status == 204
    assert live_sessions(database, person) == set()
    assert revoked(log_lines) == {"by_owner": many + 1}
    assert refresh(other.refresh_token).status == 200


@pytest.mark.aurora_dsql
def test_delete_other_sessions_of_thousands_keeps_the_callers(database, person, log_lines, many):
    add_sessions(database, person, many)
    query = {"keep_current": "true"}
    assert call_as(person.access_token, "sessions", "DELETE", "/sessions", query=query).status == 204
    assert live_sessions(database, person) == {session_id(person.access_token)}
    assert revoked(log_lines) == {"by_owner": many}
    assert refresh(person.refresh_token).status == 200


@pytest.mark.parametrize("number", [999, 1_000, 1_001])
def test_delete_sessions_around_a_batch_revokes_all(database, person, number):
    add_sessions(database, person, number)
    assert call_as(person.access_token, "sessions", "DELETE", "/sessions").status == 204
    assert live_sessions(database, person) == set()


@pytest.mark.aurora_dsql
def test_password_change_with_thousands_of_sessions_keeps_the_callers(database, person, log_lines, many):
    add_sessions(database, person, many)
    assert change_password(person).status == 204
    assert live_sessions(database, person) == {session_id(person.access_token)}
    assert revoked(log_lines) == {"password_changed": many}
    assert log_in().status == 401
    assert refresh(person.refresh_token).status == 200


@pytest.mark.aurora_dsql
def test_new_passkey_with_thousands_of_sessions_keeps_the_callers(database, person, log_lines, many):
    add_sessions(database, person, many)
    enrol(person)
    assert live_sessions(database, person) == {session_id(person.access_token)}
    assert revoked(log_lines) == {"passkey_added": many}
    assert database.count(passkeys) == 1


@pytest.mark.aurora_dsql
def test_passkey_deletion_with_thousands_of_sessions_keeps_the_callers(database, person, many):
    holder = enrol(person)
    add_sessions(database, person, many)
    token = holder.log_in().json["access_token"]
    answer = call_as(token, "webauthn", "DELETE", f"/webauthn/credentials/{holder.passkey_id}")
    assert answer.status == 204
    assert live_sessions(database, person) == {session_id(token)}
    assert database.count(passkeys) == 0


@pytest.mark.aurora_dsql
def test_rejected_request_with_thousands_of_sessions_revokes_none(database, person, many):
    add_sessions(database, person, many)
    before = live_sessions(database, person)
    token = person.access_token
    ceremony = begin_registration(token)
    elsewhere = SoftwareAuthenticator(origin="https://evil.example").register(ceremony["options"])
    rejected = [
        change_password(person, current=WRONG_PASSWORD),
        complete_registration(token, ceremony, elsewhere),
        call_as(token, "webauthn", "DELETE", f"/webauthn/credentials/{uuid4()}"),
        call_as(token, "sessions", "DELETE", "/sessions", step_up_token=None),
    ]
    assert [answer.status for answer in rejected] == [400, 400, 404, 403]
    assert live_sessions(database, person) == before


@pytest.mark.aurora_dsql
def test_erasure_of_a_user_with_thousands_of_challenges_succeeds(database, person):
    begin_registration(person.access_token)
    (challenge,) = database.execute(select(challenges))
    for _ in range(2):
        database.insert(challenges, [challenge._asdict() | {"id": uuid4()} for _ in range(1_600)])
    erase(person.email)
    assert (database.count(challenges), database.count(users)) == (0, 0)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_sessions_revoked_by_another_transaction_leave_no_session_live(database, person):
    """PostgreSQL skips a session that another transaction has revoked. So a short batch may not be the last."""
    add_sessions(database, person, 1_200)
    copies = live_sessions(database, person) - {session_id(person.access_token)}
    revoke = update(sessions).where(sessions.c.id.in_([UUID(copy) for copy in sorted(copies)[:300]]))
    with create_engine(database.url, poolclass=NullPool).connect() as elsewhere, ThreadPoolExecutor(1) as thread:
        elsewhere.execute(revoke.values(revoked_at=datetime.now(UTC)))
        request = thread.submit(call_as, person.access_token, "sessions", "DELETE", "/sessions")
        wait_until(lambda: database.execute(WAITING)[0][0])
        elsewhere.commit()
        assert request.result().status == 204
    assert live_sessions(database, person) == set()

"""Concurrent requests of POST /token/refresh: a family has at most one live token, and a revocation wins."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine, func, select, text, update
from sqlalchemy.pool import NullPool

from auth_common.accounts.administration import disable_user
from auth_common.database.tables import refresh_tokens, sessions
from auth_common.sessions import refresh as refreshing
from tests.support.factories import EMAIL, get_user, is_session_accepted, log_in, log_out, refresh, sign_up
from tests.support.functions import Response
from tests.support.processes import wait_until
from tests.support.races import on_each_isolation_level, on_each_postgresql_isolation, send_at_once

pytestmark = [pytest.mark.sessions, pytest.mark.aurora_dsql]


@pytest.fixture
def person(database, isolation):
    return sign_up()


def generations(database):
    """Return the generation of each token, and whether the token is live."""
    rows = database.execute(select(refresh_tokens).order_by(refresh_tokens.c.generation))
    return [(row.generation, row.spent_at is None) for row in rows]


def is_revoked(person, pair):
    return not is_session_accepted(person.id, pair)


# --- Concurrent refreshes -----------------------------------------------------------------------------------------


@pytest.mark.asvs("2.3.4", "10.4.5")
@on_each_isolation_level
def test_fifty_concurrent_refreshes_get_the_same_successor(database, person, monkeypatch):
    monkeypatch.setattr(refreshing, "GRACE_PERIOD", timedelta(hours=1))  # The last one comes late on a busy machine.
    answers = send_at_once(*[lambda: refresh(person.refresh_token)] * 50)
    assert {answer.status for answer in answers} == {200}
    (successor,) = {answer.json["refresh_token"] for answer in answers}
    assert generations(database) == [(0, False), (1, True)]
    assert refresh(successor).status == 200


@pytest.mark.asvs("15.4.2")
@on_each_isolation_level
def test_concurrent_use_of_parent_and_child_makes_no_second_branch(database, person):
    """Two tabs hold a token and its successor. In any order, the family has one branch or the session is revoked."""
    child = refresh(person.refresh_token).json["refresh_token"]
    answers = send_at_once(*[lambda: refresh(person.refresh_token), lambda: refresh(child)] * 6)
    assert generations(database) == [(0, False), (1, False), (2, True)]
    ((revoked_at,),) = database.execute(select(sessions.c.revoked_at))
    newest = [answer.json for answer in answers[1::2] if answer.status == 200]
    assert len({pair["refresh_token"] for pair in newest}) == 1
    if revoked_at is None:
        assert refresh(newest[0]["refresh_token"]).status == 200
    else:
        assert is_revoked(person, newest[0])


# --- Concurrent revocations ---------------------------------------------------------------------------------------


@pytest.mark.asvs("10.4.9")
@pytest.mark.threat("function-race")
@on_each_isolation_level
@pytest.mark.parametrize(
    "revoke",
    [
        lambda pair, _: log_out(pair["access_token"]),
        lambda *_: disable_user(EMAIL),
        lambda _, spent: refresh(spent),
    ],
    ids=["logout", "disabling", "reuse"],
)
def test_revocation_concurrent_with_refreshes_leaves_no_live_token(person, revoke):
    spent = person.refresh_token
    pair = refresh(refresh(spent).json["refresh_token"]).json
    refreshes = [lambda: refresh(pair["refresh_token"])] * 4
    *answers, _ = send_at_once(*refreshes, lambda: revoke(pair, spent))
    assert {answer.status for answer in answers} <= {200, 401}
    for issued in (pair, *(answer.json for answer in answers if answer.status == 200)):
        assert is_revoked(person, issued)


# --- Concurrent requests in a forced order ------------------------------------------------------------------------


class RowLock:
    """A lock on the session's row, at which requests wait between two of their statements."""

    def __init__(self, connection: Connection, threads: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._threads = threads
        self._waiting = 0

    def start(self, request: Callable[[], Response]) -> Future[Response]:
        """Start ``request``, and return when it waits for a row."""
        future = self._threads.submit(request)
        self._waiting += 1
        wait_until(lambda: self._blocked() == self._waiting, seconds=20)
        return future

    def revoke_and_commit(self) -> None:
        self._connection.execute(update(sessions).values(revoked_at=datetime.now(UTC)))
        self._connection.commit()

    def release(self) -> None:
        self._connection.rollback()

    def _blocked(self) -> int:
        # Not pg_stat_activity, which stays the same within a transaction.
        blocked: int = self._connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return blocked


@pytest.fixture
def row_lock(database, person) -> Iterator[RowLock]:
    refresh("rt_unknown")  # one engine for all threads
    with ThreadPoolExecutor(4) as threads, create_engine(database.url, poolclass=NullPool).connect() as connection:
        connection.execute(select(sessions.c.id).with_for_update())
        yield RowLock(connection, threads)


@on_each_postgresql_isolation
def test_refresh_during_another_refresh_gets_the_same_successor(database, person, row_lock):
    first = row_lock.start(lambda: refresh(person.refresh_token))
    second = row_lock.start(lambda: refresh(person.refresh_token))
    row_lock.release()
    answers = [future.result() for future in (first, second)]
    assert [answer.status for answer in answers] == [200, 200]
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert generations(database) == [(0, False), (1, True)]


@on_each_postgresql_isolation
def test_refresh_during_a_revocation_is_rejected(database, person, row_lock, log_lines):
    answers = [row_lock.start(lambda: refresh(person.refresh_token)) for _ in range(2)]
    row_lock.revoke_and_commit()
    assert [future.result().code for future in answers] == ["invalid_refresh_token"] * 2
    assert [row.generation for row in database.execute(select(refresh_tokens))] == [0]
    rejected = [event for event in log_lines.security_events if event["name"] == "authn_token_rejected"]
    assert [event["reason"] for event in rejected[-2:]] == ["session_revoked"] * 2
    assert get_user(person.id, token=person.access_token).status == 401


@on_each_postgresql_isolation
def test_logout_that_waits_for_a_refresh_revokes_the_new_tokens(person, row_lock):
    rotation = row_lock.start(lambda: refresh(person.refresh_token))
    logout = row_lock.start(lambda: log_out(person.access_token))
    row_lock.release()
    assert (rotation.result().status, logout.result().status) == (200, 204)
    assert is_revoked(person, rotation.result().json)


@on_each_isolation_level
def test_concurrent_refreshes_of_one_users_sessions_succeed(database, person):
    pairs = [log_in().json for _ in range(8)]
    answers = send_at_once(*[lambda pair=pair: refresh(pair["refresh_token"]) for pair in pairs])
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 8
    assert database.execute(select(func.count()).where(refresh_tokens.c.spent_at.is_(None))) == [(9,)]

"""Connections to PostgreSQL that are cut in the middle of a request: at every statement, and at every commit.

Each cut is real: the server ends the process behind the connection, as in a restart or a failover.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, repeat

import pytest
from sqlalchemy import Connection, event, func, select

from auth_common.db import engine
from tests.support.databases import Database
from tests.support.factories import log_in, refresh, register, sign_up
from tests.support.faults import assert_nothing_half_done, is_unavailable
from tests.support.functions import Answer

pytestmark = [
    pytest.mark.database,
    pytest.mark.fault,
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]
NEWCOMER = "newcomer{}@example.com"


@pytest.fixture
def person(database):
    return sign_up()


@pytest.fixture(params=["register", "log in", "refresh"])
def requests(request, person):
    """One request after the other, of one kind; each is good for several tries."""
    return _REQUESTS[request.param]()


def _registrations() -> Iterator[Callable[[], Answer]]:
    for number in count():
        yield partial(register, email=NEWCOMER.format(number))


def _refreshes() -> Iterator[Callable[[], Answer]]:
    while True:
        yield partial(refresh, log_in().json["refresh_token"])


_REQUESTS = {"register": _registrations, "log in": lambda: repeat(log_in), "refresh": _refreshes}


def cut(database, connection):
    """End the server's side of a connection, and wait until it is gone."""
    assert database.execute(select(func.pg_terminate_backend(connection.info.backend_pid, 5_000))) == [(True,)]


class Nth:
    """Cuts the connection at the n-th call, and remembers whether it came to that."""

    def __init__(self, number: int, database: Database) -> None:
        self._left = number
        self._database = database

    def __call__(self, connection: Connection, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            cut(self._database, connection.connection.driver_connection)

    @property
    def was_reached(self) -> bool:
        return self._left <= 0


class NthCommit(Nth):
    """The same, for what writes: after a read there is nothing to commit."""

    def __call__(self, connection: Connection, *_: object) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            super().__call__(connection)


@contextmanager
def at(name: str, nth: Nth) -> Iterator[Nth]:
    event.listen(engine._engine(), name, nth)
    yield nth
    event.remove(engine._engine(), name, nth)


def test_a_connection_that_is_lost_at_any_statement_costs_the_client_nothing(database, requests):
    for number in count(1):
        request = next(requests)
        with at("before_cursor_execute", Nth(number, database)) as statement:
            answer = request()
        assert answer.status in {200, 201}, f"cut at statement {number}: {answer.text}"
        if not statement.was_reached:
            break
    assert number > 4
    assert_nothing_half_done(database)


def test_a_connection_that_is_lost_before_any_commit_is_503_and_the_same_request_works_then(database, requests):
    for number in count(1):
        request = next(requests)
        with at("commit", NthCommit(number, database)) as commit:
            answer = request()
        if not commit.was_reached:
            break
        assert is_unavailable(answer), f"cut at commit {number}: {answer.text}"
        assert request().status in {200, 201}
    assert number > 1
    assert_nothing_half_done(database)


@pytest.fixture
def the_word_of_the_last_commit_is_lost(database, person, monkeypatch):
    """The server has committed, and the connection is cut before it can say so."""

    def lose_the_word_of(last: Callable[[], Answer], *, commits: int) -> Answer:
        left = [commits]

        def commit(pooled):
            connection = pooled.driver_connection
            connection.commit()
            left[0] -= not connection.autocommit
            if left[0] == 0:
                cut(database, connection)
                connection.execute("SELECT 1")

        with monkeypatch.context() as patch:
            patch.setattr(engine._engine().dialect, "do_commit", commit)
            answer = last()
        assert left[0] <= 0
        return answer

    return lose_the_word_of


def test_a_refresh_whose_answer_is_lost_is_forgiven_and_the_family_is_not_split(
    database, person, the_word_of_the_last_commit_is_lost
):
    answer = the_word_of_the_last_commit_is_lost(lambda: refresh(person.refresh_token), commits=1)
    assert is_unavailable(answer)
    successors = {refresh(person.refresh_token).json["refresh_token"] for _ in range(2)}
    assert len(successors) == 1
    assert refresh(successors.pop()).status == 200
    assert_nothing_half_done(database)


def test_a_registration_whose_answer_is_lost_is_there(database, the_word_of_the_last_commit_is_lost):
    email = NEWCOMER.format(0)
    answer = the_word_of_the_last_commit_is_lost(lambda: register(email=email), commits=2)
    assert is_unavailable(answer)
    assert register(email=email).code == "email_taken"
    assert log_in(email).status == 200
    assert_nothing_half_done(database)


def test_a_login_whose_answer_is_lost_is_a_session_with_its_record(database, the_word_of_the_last_commit_is_lost):
    assert is_unavailable(the_word_of_the_last_commit_is_lost(log_in, commits=2))
    assert log_in().status == 200
    assert_nothing_half_done(database)

"""Connections to PostgreSQL that are cut in the middle of a request: at every statement, and at every commit.

Each cut is real: the server ends the process behind the connection, as in a restart or a failover.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, repeat
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.support.databases import Database, listening
from tests.support.factories import log_in, refresh, register
from tests.support.faults import assert_nothing_half_done, is_unavailable, on_postgresql
from tests.support.functions import Answer

pytestmark = [pytest.mark.database, pytest.mark.fault, on_postgresql]
NEWCOMER = "newcomer{}@example.com"


@pytest.fixture(params=["register", "log in", "refresh"])
def requests(request, person):
    """One request after the other, of one kind. Each can be sent several times."""
    return _REQUESTS[request.param]()


def _registrations() -> Iterator[Callable[[], Answer]]:
    for number in count():
        yield partial(register, email=NEWCOMER.format(number))


def _refreshes() -> Iterator[Callable[[], Answer]]:
    while True:
        yield partial(refresh, log_in().json["refresh_token"])


_REQUESTS = {"register": _registrations, "log in": lambda: repeat(log_in), "refresh": _refreshes}


class Nth:
    """Cuts the connection at the n-th call, and remembers whether it came to that."""

    def __init__(self, number: int, database: Database) -> None:
        self._left = number
        self._database = database

    def __call__(self, connection: Connection, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            self._strike(connection.connection.driver_connection)

    def _strike(self, connection: Any) -> None:
        self._database.hang_up(connection.info.backend_pid)

    @property
    def was_reached(self) -> bool:
        return self._left <= 0


class NthCommit(Nth):
    """The same, for what writes: after a read there is nothing to commit."""

    def __call__(self, connection: Connection, *_: object) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            super().__call__(connection)


class LostConfirmation(NthCommit):
    """The server has committed, and the connection is cut before the server can say so."""

    def _strike(self, connection: Any) -> None:
        connection.commit()
        connection.execute("SELECT 1")  # begins a transaction, or the commit that follows would send nothing
        super()._strike(connection)


def test_connection_lost_at_any_statement_is_not_noticed(database, requests):
    for number in count(1):
        request = next(requests)
        statement = Nth(number, database)
        with listening("before_cursor_execute", statement):
            answer = request()
        assert answer.status in {200, 201}, f"cut at statement {number}: {answer.text}"
        if not statement.was_reached:
            break
    assert number > 4
    assert_nothing_half_done(database)


def test_connection_lost_before_any_commit_is_503_until_the_request_is_repeated(database, requests):
    for number in count(1):
        request = next(requests)
        commit = NthCommit(number, database)
        with listening("commit", commit):
            answer = request()
        if not commit.was_reached:
            break
        assert is_unavailable(answer), f"cut at commit {number}: {answer.text}"
        assert request().status in {200, 201}
    assert number > 1
    assert_nothing_half_done(database)


def lose_confirmation(database: Database, request: Callable[[], Answer], *, commits: int) -> None:
    """Send ``request``, whose last commit the service does not hear of."""
    last = LostConfirmation(commits, database)
    with listening("commit", last):
        assert is_unavailable(request())
    assert last.was_reached


def test_refresh_with_a_lost_confirmation_does_not_split_the_family(database, person):
    lose_confirmation(database, partial(refresh, person.refresh_token), commits=1)
    successors = {refresh(person.refresh_token).json["refresh_token"] for _ in range(2)}
    assert len(successors) == 1
    assert refresh(successors.pop()).status == 200
    assert_nothing_half_done(database)


def test_registration_and_login_with_a_lost_confirmation_are_stored(database):
    email = NEWCOMER.format(0)
    lose_confirmation(database, partial(register, email=email), commits=2)
    assert register(email=email).code == "email_taken"
    lose_confirmation(database, partial(log_in, email), commits=2)
    assert log_in(email).status == 200
    assert_nothing_half_done(database)

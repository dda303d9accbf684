"""Connections to PostgreSQL that are lost during a request, at every statement and at every commit.

The server really terminates the backend of the connection, as in a restart or a failover.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, repeat
from typing import Any

import pytest
from sqlalchemy import Connection

from auth_common.database.pipeline import MAY_WAIT
from tests.support.databases import Database, sqlalchemy_listener
from tests.support.factories import log_in, refresh, register
from tests.support.faults import assert_no_partial_changes, is_unavailable, on_postgresql
from tests.support.functions import Response
from tests.support.throttles import attempt_counts, guess_password

pytestmark = [pytest.mark.database, pytest.mark.fault, on_postgresql]
NEWCOMER = "newcomer{}@example.com"


@pytest.fixture(params=["register", "log in", "refresh"])
def requests(request, account):
    """An endless iterator of requests of one kind. Each request can be sent several times."""
    return _REQUESTS[request.param]()


def _registrations() -> Iterator[Callable[[], Response]]:
    for number in count():
        yield partial(register, email=NEWCOMER.format(number))


def _refreshes() -> Iterator[Callable[[], Response]]:
    while True:
        yield partial(refresh, log_in().json["refresh_token"])


_REQUESTS = {"register": _registrations, "log in": lambda: repeat(log_in), "refresh": _refreshes}


class ConnectionCut:
    """An SQLAlchemy listener that terminates the connection's backend at its n-th call."""

    #: Whether the connection was cut at the statement that counts an attempt, which is a transaction of its own.
    was_at_a_count = False

    def __init__(self, number: int, database: Database) -> None:
        self._left = number
        self._database = database

    def __call__(self, connection: Connection, _cursor: object = None, statement: str = "", *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            self.was_at_a_count = "INSERT INTO throttles" in statement
            self._cut(connection.connection.driver_connection)

    def _cut(self, connection: Any) -> None:
        self._database.terminate_backend(connection.info.backend_pid)

    @property
    def was_reached(self) -> bool:
        return self._left <= 0


class CutAtStatement(ConnectionCut):
    """A listener that terminates the connection at the n-th statement, without those that wait for the next one.

    Such a write is lost with the next statement or with the commit, at which the other tests cut the connection.
    """

    def __call__(self, connection: Connection, *arguments: Any) -> None:
        context = arguments[3]
        if not context.execution_options.get(MAY_WAIT):
            super().__call__(connection, *arguments)


class CutBeforeCommit(ConnectionCut):
    """A listener that terminates the connection before the n-th commit of a writing transaction."""

    def __call__(self, connection: Connection, *_: object) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            super().__call__(connection)


class CutAfterCommit(CutBeforeCommit):
    """A listener that lets the server commit, and terminates the connection before the client learns of the commit."""

    def _cut(self, connection: Any) -> None:
        connection.commit()
        connection.execute("SELECT 1")  # Begins a transaction. Otherwise the next commit would send nothing.
        super()._cut(connection)


def test_connection_lost_at_any_statement_is_retried(database, requests):
    """Only the count of an attempt is not retried: the service cannot know whether it was committed."""
    for number in count(1):
        request = next(requests)
        statement = CutAtStatement(number, database)
        with sqlalchemy_listener("before_cursor_execute", statement):
            response = request()
        expected = {503} if statement.was_at_a_count else {200, 201}
        assert response.status in expected, f"cut at statement {number}: {response.text}"
        if not statement.was_reached:
            break
    assert number > 2
    assert_no_partial_changes(database)


def test_connection_lost_before_any_commit_is_503(database, requests):
    """A commit is not retried, because the service cannot know whether it succeeded. The client repeats the request."""
    for number in count(1):
        request = next(requests)
        commit = CutBeforeCommit(number, database)
        with sqlalchemy_listener("commit", commit):
            response = request()
        if not commit.was_reached:
            break
        assert is_unavailable(response), f"cut at commit {number}: {response.text}"
        assert request().status in {200, 201}
    assert number > 1
    assert_no_partial_changes(database)


def lose_confirmation(database: Database, request: Callable[[], Response], *, commits: int) -> None:
    """Send ``request``, and cut the connection after its commit number ``commits``, which is its last one."""
    last = CutAfterCommit(commits, database)
    with sqlalchemy_listener("commit", last):
        assert is_unavailable(request())
    assert last.was_reached


def test_refresh_with_a_lost_confirmation_does_not_split_the_family(database, account):
    lose_confirmation(database, partial(refresh, account.refresh_token), commits=1)
    successors = {refresh(account.refresh_token).json["refresh_token"] for _ in range(2)}
    assert len(successors) == 1
    assert refresh(successors.pop()).status == 200
    assert_no_partial_changes(database)


def test_writes_with_a_lost_commit_confirmation_are_stored(database):
    email = NEWCOMER.format(0)
    lose_confirmation(database, partial(register, email=email), commits=1)
    assert register(email=email).code == "email_taken"
    lose_confirmation(database, partial(log_in, email), commits=1)
    assert log_in(email).status == 200
    assert_no_partial_changes(database)


@pytest.mark.usefixtures("account")
def test_login_with_a_lost_commit_confirmation_is_subtracted_once(database):
    """Subtracted twice, it would take a failure at another account from the count of the client IP."""
    for number in range(2):
        assert guess_password(NEWCOMER.format(number)).status == 401
    counted = attempt_counts(database)
    lose_confirmation(database, log_in, commits=1)
    assert attempt_counts(database) == counted

"""Concurrent requests, on SQLite and at each isolation level of PostgreSQL."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier
from typing import Any

import bcrypt
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from webauthn.helpers.structs import AuthenticatorDataFlags

from tests.support.databases import Database
from tests.support.events import proxy_event
from tests.support.functions import Response, call
from tests.support.outages import on_each_statement
from tests.support.processes import wait_until

_POSTGRESQL = [("postgresql", "read committed"), ("postgresql", "repeatable read"), ("postgresql", "serializable")]
#: Run a test, which must use the fixtures ``database`` and ``isolation``, with each kind of conflict: SQLite's single
#: writer, PostgreSQL's row locks, and SQLSTATE 40001 as on Aurora DSQL.
on_each_isolation_level = pytest.mark.parametrize(
    ("database", "isolation"), [("sqlite", None), *_POSTGRESQL], indirect=True, ids=lambda name: name or "one writer"
)
on_each_postgresql_isolation = pytest.mark.parametrize(("database", "isolation"), _POSTGRESQL, indirect=True, ids=str)


def send_at_once(*requests: Callable[[], Any]) -> list[Any]:
    """Send ``requests`` at the same time, each in its own thread and connection, and return their results."""
    call("health", proxy_event("GET", "/health"))  # Create the engine that all threads then share.
    start = Barrier(len(requests))

    def wait_and_send(request: Callable[[], Any]) -> Any:
        start.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(wait_and_send, requests))


def send_burst(size: int, request: Callable[[int], Response]) -> Counter[int]:
    """Call ``request`` with 0 to ``size - 1`` at the same time, and return the number of responses by status."""
    return Counter(response.status for response in send_at_once(*(partial(request, number) for number in range(size))))


def while_a_passkey_is_verified(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Run ``action`` in another thread, as another environment would, during the next verification of a passkey."""
    parse = AuthenticatorDataFlags.__init__

    def parse_later(self: AuthenticatorDataFlags, **flags: bool) -> None:
        monkeypatch.setattr(AuthenticatorDataFlags, "__init__", parse)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(action).result()
        parse(self, **flags)

    monkeypatch.setattr(AuthenticatorDataFlags, "__init__", parse_later)


def while_a_password_is_checked(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Run ``action`` in another thread, as another environment would, while bcrypt checks the next password."""
    check = bcrypt.checkpw

    def check_later(password: bytes, stored_hash: bytes) -> bool:
        monkeypatch.setattr(bcrypt, "checkpw", check)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(action).result()
        return check(password, stored_hash)

    monkeypatch.setattr(bcrypt, "checkpw", check_later)


@contextmanager
def before_reading(column: str, action: Callable[[], object]) -> Iterator[None]:
    """Run ``action`` in another thread, as another environment would, before the first SELECT that names ``column``."""
    with before_statement("SELECT", action, naming=column):
        yield


@contextmanager
def before_statement(beginning: str, action: Callable[[], object], *, naming: str = "") -> Iterator[None]:
    """Run ``action`` in another thread before the first statement that begins with this text and has that name."""
    pending = [action]

    def act(statement: str, _parameters: object) -> None:
        if pending and statement.startswith(beginning) and naming in statement:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(pending.pop()).result()

    with on_each_statement(act):
        yield


def wait_until_blocked(database: Database) -> None:
    """Return when a transaction on PostgreSQL waits for a row that another transaction has locked."""
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with create_engine(database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        wait_until(lambda: connection.scalar(blocked) == 1, seconds=20)

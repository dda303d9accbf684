"""Requests at one moment, under each way in which a database lets transactions meet."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier
from typing import Any

import bcrypt
import pytest
from webauthn.helpers.structs import AuthenticatorDataFlags

from tests.support.events import proxy_event
from tests.support.functions import Answer, call
from tests.support.outages import watched

_POSTGRESQL = [("postgresql", "read committed"), ("postgresql", "repeatable read"), ("postgresql", "serializable")]
#: What a transaction may meet: SQLite's one writer, PostgreSQL's waits, and SQLSTATE 40001 as on Aurora DSQL. For tests
#: that use the fixtures ``database`` and ``isolation``.
everywhere = pytest.mark.parametrize(
    ("database", "isolation"), [("sqlite", None), *_POSTGRESQL], indirect=True, ids=lambda name: name or "one writer"
)
on_postgresql = pytest.mark.parametrize(("database", "isolation"), _POSTGRESQL, indirect=True, ids=str)


def together(*requests: Callable[[], Any]) -> list[Any]:
    """Return the results of ``requests``, each from a thread and a connection of its own, sent at one moment."""
    call("health", proxy_event("GET", "/health"))  # All threads share one engine, as requests in one environment do.
    start = Barrier(len(requests))

    def wait_and_send(request: Callable[[], Any]) -> Any:
        start.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(wait_and_send, requests))


def burst(size: int, request: Callable[[int], Answer]) -> Counter[int]:
    """Send ``request(0)`` to ``request(size - 1)`` at one moment, and return how often each status was returned."""
    return Counter(answer.status for answer in together(*(partial(request, number) for number in range(size))))


def while_a_passkey_is_verified(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Run ``action``, as from another environment, while the next response of a passkey is verified."""
    parse = AuthenticatorDataFlags.__init__

    def parse_later(self: AuthenticatorDataFlags, **flags: bool) -> None:
        monkeypatch.setattr(AuthenticatorDataFlags, "__init__", parse)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(action).result()
        parse(self, **flags)

    monkeypatch.setattr(AuthenticatorDataFlags, "__init__", parse_later)


def while_a_password_is_checked(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Run ``action``, as from another environment, while bcrypt checks the next password."""
    check = bcrypt.checkpw

    def check_later(password: bytes, stored_hash: bytes) -> bool:
        monkeypatch.setattr(bcrypt, "checkpw", check)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(action).result()
        return check(password, stored_hash)

    monkeypatch.setattr(bcrypt, "checkpw", check_later)


@contextmanager
def before_a_read_of(column: str, action: Callable[[], object]) -> Iterator[None]:
    """Run ``action``, as from another environment, before the first query outside a transaction that has ``column``."""
    pending = [action]

    def act(statement: str, _parameters: object) -> None:
        if pending and statement.startswith("SELECT") and column in statement:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(pending.pop()).result()

    with watched(act):
        yield

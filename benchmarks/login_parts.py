"""What a login costs beyond the work of the peers: each part is left out in turn, and the time is compared.

The login without a part is not a valid login. It exists only in this process.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from statistics import median
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import event

from auth_common.database.engine import shared_engine
from benchmarks.report import Table
from benchmarks.service import SETTINGS, fresh_service, handler_of
from tests.support.events import USER_AGENT, json_event, lambda_context
from tests.support.factories import PASSWORD, sign_up

_CALLS: Final = 5
_ACCOUNTS: Final = 40
_HEADING: Final = ("Login", "Time, ms", "CPU, ms", "Difference, ms", "Difference of CPU, ms")


def measure_login_parts(*, rounds: int) -> Table:
    """Return the time of a login, and the difference that each part makes. bcrypt has cost 4.

    Args:
        rounds: the number of measured rounds, after one to warm up. Each has 5 logins with and without each part.

    """
    times: dict[str, list[_Times]] = {name: [] for name in _VARIANTS}
    with fresh_service(**SETTINGS):
        # Few logins for each account: a login reads all sessions of the account, of which a user has few.
        emails = [sign_up(f"person{number}@example.com").email for number in range(_ACCOUNTS)]
        for number in range(-1, rounds):
            for name in list(_VARIANTS)[:: 1 if number % 2 else -1]:
                with _VARIANTS[name]():
                    measured = _measure(_events(emails, from_new_clients=name == _NOTICE))
                if number >= 0:
                    times[name].append(measured)
    return Table(_HEADING, tuple(_row(name, measured, times[_WHOLE]) for name, measured in times.items()))


@dataclass(frozen=True, slots=True)
class _Times:
    """Milliseconds of one login."""

    wall: float
    cpu: float


def _measure(events: Iterator[dict[str, Any]]) -> _Times:
    handler, context = handler_of("login"), lambda_context("login")
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(_CALLS):
        response = handler(next(events), context)
        assert response["statusCode"] == 200, response  # noqa: PLR2004 - a rejection would be faster
    return _Times((time.perf_counter() - wall) * 1e3 / _CALLS, (time.process_time() - cpu) * 1e3 / _CALLS)


def _row(name: str, measured: list[_Times], whole: list[_Times]) -> tuple[str, ...]:
    """Return the median of the time, and the smallest CPU time, to which other programs only add."""
    wall, cpu = median(times.wall for times in measured), min(times.cpu for times in measured)
    cells = (name, f"{wall:.2f}", f"{cpu:.2f}")
    if measured is whole:
        return (*cells, "", "")
    difference = median(times.wall - complete.wall for times, complete in zip(measured, whole, strict=True))
    return (*cells, f"{difference:+.2f}", f"{cpu - min(times.cpu for times in whole):+.2f}")


_numbers: Final = count()


def _events(emails: Sequence[str], *, from_new_clients: bool) -> Iterator[dict[str, Any]]:
    """Yield the events of logins to the accounts in turn, by their usual client or each by a client of its own."""
    while True:
        number = next(_numbers)
        identity = (
            {"sourceIp": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "userAgent": f"client {number}"}
            if from_new_clients
            else {"userAgent": USER_AGENT}
        )
        yield json_event("POST", "/login", {"email": emails[number % len(emails)], "password": PASSWORD}, **identity)


def _replacing(*replacements: tuple[str, Callable[..., Any]]) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function whose context replaces functions of ``auth_common`` by others."""

    @contextmanager
    def replace() -> Iterator[None]:
        with ExitStack() as stack:
            for name, replacement in replacements:
                stack.enter_context(patch(f"auth_common.{name}", replacement))
            yield

    return replace


def _nothing(*_: object, **__: object) -> None:
    """Stand in for a function without a result."""


@contextmanager
def _uncounted(*_: object) -> Iterator[Any]:
    yield SimpleNamespace(succeed=lambda _connection: None)


@contextmanager
def _without_waiting_for_the_disk() -> Iterator[None]:
    def switch_off(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    def switch_on(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA synchronous = FULL")

    event.listen(shared_engine(), "checkout", switch_off)
    event.listen(shared_engine(), "checkin", switch_on)
    try:
        yield
    finally:
        event.remove(shared_engine(), "checkout", switch_off)
        event.remove(shared_engine(), "checkin", switch_on)


_WHOLE: Final = "`POST /login`, complete"
_NOTICE: Final = "from a new client each time, with its notice"
_VARIANTS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    _WHOLE: nullcontext,
    "without counted attempts": _replacing(("login.service.login_attempt", _uncounted)),
    "without a session and its refresh token": _replacing(
        ("sessions.store.insert_session", _nothing), ("sessions.service.insert_refresh_token", _nothing)
    ),
    "without audit records": _replacing(
        ("audit_log.writer.make_salt", _nothing),
        ("audit_log.writer.chain_mac", lambda **_: bytes(32)),
        ("audit_log.writer.insert_rows", _nothing),
    ),
    "without log lines and metrics": _replacing(("audit_log.writer.AuditLogHandler.publish", _nothing)),
    "without waiting for the disk": _without_waiting_for_the_disk,
    # An account gets one such notice in an hour, and only at a verified address.
    _NOTICE: _replacing(
        ("notices.login_notices.receives_notices", lambda _user: True),
        ("notices.account_notices.receives_notices", lambda _user: True),
        ("notices.login_notices.count_new_login", lambda *_, **__: 0),
    ),
}

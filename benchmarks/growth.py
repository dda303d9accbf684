"""The same calls with 10^3, 10^5 and 10^6 users, and ten audit records of each, on SQLite and PostgreSQL.

A ratio near 1 means that the cost of a call does not depend on the number of users. If the ratio grows, a statement
reads rows that it does not need. Each call is about another user, so its rows are seldom in the database's cache.
"""

import json
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from benchmarks.measure import Figure, Round, compare, run_in_turns, timed
from benchmarks.population import RECORDS_PER_USER, RECORDS_SPAN_MS, email_of_user, id_of_user, populate
from benchmarks.service import SETTINGS, fresh_service, handler_of
from tests.support.auditors import auditor_token
from tests.support.databases import running_postgres, start_fresh_environment
from tests.support.events import json_event, lambda_context, proxy_event
from tests.support.factories import PASSWORD, log_in, registration
from tests.support.functions import authorize

#: Numbers of users. The ratios compare with the first.
SIZES: Final = (1_000, 100_000)
LARGEST: Final = 1_000_000
#: A slow statement must be measured, not cancelled.
_SETTINGS: Final = {**SETTINGS, "DATABASE_TIMEOUT": "600"}
#: The calls of each run are about the same users.
_SEED: Final = 1
#: The number of records in a summary that counts the same number at each size.
_SUMMARY_RECORDS: Final = 1_000


def measure_growth(*, rounds: int, largest: bool = False) -> list[Figure]:
    """Measure each call on both databases.

    Args:
        rounds: the number of measured rounds.
        largest: whether to measure a million users, which needs half an hour more and 20 GB of disk.

    """
    sizes = (*SIZES, LARGEST) if largest else SIZES
    with fresh_service(**_SETTINGS) as folder:
        urls = {size: f"sqlite+pysqlite:///{folder / f'{size}.sqlite3'}" for size in sizes}
        figures = measure_database("SQLite", urls, rounds=rounds)
    with running_postgres() as server, _new_databases(server, sizes) as urls, fresh_service(**_SETTINGS):
        return figures + measure_database("PostgreSQL", urls, rounds=rounds)


@contextmanager
def _new_databases(server: Any, sizes: tuple[int, ...]) -> Iterator[dict[int, str]]:
    with ExitStack() as stack:
        yield {size: stack.enter_context(server.new_database(migrated=True)) for size in sizes}


def measure_database(
    name: str, urls: Mapping[int, str], *, rounds: int, calls_per_round: int | None = None
) -> list[Figure]:
    """Fill the databases of one kind, and measure each call in all of them in turns.

    Args:
        name: the name of the kind of database.
        urls: an empty database for each number of users, the smallest first.
        rounds: the number of measured rounds.
        calls_per_round: the number of calls in a round, for all calls. By default a slow call has fewer of them.

    """
    databases = [_fill(url, user_count) for user_count, url in urls.items()]
    smallest, *others = databases
    figures = []
    for title, (call, default_calls) in _CALLS.items():
        rounds_by_size = {
            str(database.user_count): _round(database, call, calls_per_round or default_calls) for database in databases
        }
        times = run_in_turns(rounds_by_size, rounds=rounds)
        figures += [
            compare(
                f"{title}, {name}, {database.user_count:,} users",
                times[str(database.user_count)],
                f"{smallest.user_count:,} users",
                times[str(smallest.user_count)],
            )
            for database in others
        ]
    return figures


@dataclass(slots=True, kw_only=True)
class _Database:
    """A filled database, with the credentials for calls."""

    url: str
    user_count: int
    #: The authorizer's context of a member of the security team.
    auditor: Mapping[str, str]
    #: The current refresh token of a session.
    refresh_token: str
    random: random.Random

    def use(self) -> None:
        """Let the service in this process use this database."""
        if os.environ.get("DATABASE_URL") != self.url:
            os.environ["DATABASE_URL"] = self.url
            start_fresh_environment()

    def random_user(self) -> int:
        """Return the number of a random user."""
        return self.random.randrange(self.user_count)


def _fill(url: str, user_count: int) -> _Database:
    os.environ["DATABASE_URL"] = url
    start_fresh_environment()
    populate(url, user_count=user_count)
    return _Database(
        url=url,
        user_count=user_count,
        auditor=authorize(auditor_token())["context"],
        refresh_token=log_in(email_of_user(0)).json["refresh_token"],
        random=random.Random(_SEED),  # noqa: S311 - not a secret
    )


def _round(database: _Database, call: Callable[[_Database], None], calls: int) -> Round:
    measure = timed(lambda: call(database), calls=calls)

    def run() -> float:
        database.use()
        measure()  # a warm environment has prepared its statements
        return measure()

    return run


def _call(function: str, event: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> Any:
    response = handler_of(function)(event, lambda_context(function))
    assert response["statusCode"] == status, response
    return response


def _log_in(database: _Database) -> None:
    credentials = {"email": email_of_user(database.random_user()), "password": PASSWORD}
    _call("login", json_event("POST", "/login", credentials))


def _get_user(database: _Database) -> None:
    user_id = str(id_of_user(database.random_user()))
    caller = {"user_id": user_id, "session_id": user_id, "token_version": "0", "expires_at": _future_expiry()}
    event = proxy_event("GET", f"/users/{user_id}", path_parameters={"id": user_id}, authorizer=caller)
    _call("get_user", event)


def _future_expiry() -> str:
    """Return an expiry in the future. The token itself expires while a database is filled."""
    return str(int(time.time()) + 60)


def _refresh(database: _Database) -> None:
    response = _call("refresh", json_event("POST", "/token/refresh", {"refresh_token": database.refresh_token}))
    database.refresh_token = json.loads(response["body"])["refresh_token"]


def _register(_: _Database) -> None:
    body = registration(email=f"{secrets.token_hex(8)}@example.com")
    _call("register", json_event("POST", "/users", body), status=HTTPStatus.CREATED)


def _read_audit_log(database: _Database, path: str, **query: str) -> None:
    caller = {**database.auditor, "expires_at": _future_expiry()}
    _call("audit", proxy_event("GET", path, query=query, authorizer=caller))


def _newest_events(database: _Database) -> None:
    _read_audit_log(database, "/audit/events")


def _events_before(database: _Database) -> None:
    moment = datetime.now(UTC) - timedelta(milliseconds=database.random.randrange(RECORDS_SPAN_MS))
    _read_audit_log(database, "/audit/events", to=moment.isoformat())


def _events_of_a_user(database: _Database) -> None:
    _read_audit_log(database, "/audit/events", user_id=str(id_of_user(database.random_user())))


def _failed_logins(database: _Database) -> None:
    _read_audit_log(database, "/audit/events", event="authn_login_fail")


def _critical_events(database: _Database) -> None:
    _read_audit_log(database, "/audit/events", severity="critical")


def _events_of_a_rare_reason(database: _Database) -> None:
    _read_audit_log(database, "/audit/events", reason="spent_token_reused")


def _summary(database: _Database, span: timedelta) -> None:
    """Request a summary of copied records. It ends an hour ago, before the events of the measurement."""
    end = datetime.now(UTC) - timedelta(hours=1)
    _read_audit_log(database, "/audit/summary", **{"from": (end - span).isoformat(), "to": end.isoformat()})


def _summary_of_a_day(database: _Database) -> None:
    _summary(database, timedelta(days=1))


def _summary_of_as_many(database: _Database) -> None:
    _summary(
        database,
        timedelta(milliseconds=RECORDS_SPAN_MS * min(1, _SUMMARY_RECORDS / (database.user_count * RECORDS_PER_USER))),
    )


#: The calls, with the default number of calls in a round.
_CALLS: Final[Mapping[str, tuple[Callable[[_Database], None], int]]] = {
    "`POST /login` without the hash (cost 4)": (_log_in, 20),
    "`GET /users/{id}`": (_get_user, 100),
    "`POST /token/refresh`": (_refresh, 30),
    "`POST /users` without the hash": (_register, 20),
    "`GET /audit/events`, the newest": (_newest_events, 20),
    "`GET /audit/events`, before some day": (_events_before, 20),
    "`GET /audit/events`, of one user": (_events_of_a_user, 20),
    "`GET /audit/events`, failed logins": (_failed_logins, 20),
    "`GET /audit/events`, critical, without a match": (_critical_events, 20),
    "`GET /audit/events`, of a reason without a match": (_events_of_a_rare_reason, 20),
    f"`GET /audit/summary` of {_SUMMARY_RECORDS:,} records": (_summary_of_as_many, 5),
    "`GET /audit/summary` of a day": (_summary_of_a_day, 2),
}

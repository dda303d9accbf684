"""The same calls with 10^3, 10^5 and 10^6 people, and ten audit records of each, on SQLite and PostgreSQL.

A ratio near 1 says that a call costs the same however many there are; one that grows with them comes from a statement
that reads what it need not. Each call is about somebody else, so what it reads is seldom in the database's own cache.
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

from benchmarks.measure import Figure, Round, compare, take_turns, timed
from benchmarks.population import RECORDS, SPAN, email_of, id_of, populate
from benchmarks.service import SETTINGS, fresh_service, handler_of
from tests.support.auditors import auditor_token
from tests.support.databases import running_postgres, start_fresh_environment
from tests.support.events import json_event, lambda_context, proxy_event
from tests.support.factories import PASSWORD, log_in, registration
from tests.support.functions import authorize

#: People; the ratios are to the first.
SIZES: Final = (1_000, 100_000)
LARGEST: Final = 1_000_000
#: What takes too long is to be seen, and not to be refused.
_SETTINGS: Final = {**SETTINGS, "DATABASE_TIMEOUT": "600"}
#: Whom the calls are about: the same people in each run.
_SEED: Final = 1
#: Records that a summary counts, where it is to count as many at each size.
_COUNTED: Final = 1_000


def measure_growth(*, rounds: int, largest: bool = False) -> list[Figure]:
    """Measure each call on both databases.

    Args:
        rounds: how many count.
        largest: whether a million people take part: half an hour more, and 20 GB of disk meanwhile.

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
    """Fill the databases of one kind, and measure each call in all of them by turns.

    Args:
        name: of that kind.
        urls: an empty database for each number of people, the smallest first.
        rounds: how many count.
        calls_per_round: the same number for all calls. By default a slow call is made less often.

    """
    places = [_fill(url, people) for people, url in urls.items()]
    smallest, *others = places
    figures = []
    for call, (ask, calls) in _CALLS.items():
        number = calls_per_round or calls
        taken = take_turns({str(place.people): _round(place, ask, number) for place in places}, rounds=rounds)
        figures += [
            compare(
                f"{call}, {name}, {place.people:,} people",
                taken[str(place.people)],
                f"{smallest.people:,} people",
                taken[str(smallest.people)],
            )
            for place in others
        ]
    return figures


@dataclass(slots=True, kw_only=True)
class _Place:
    """A full database, and who asks in it."""

    url: str
    people: int
    auditor: Mapping[str, str]
    #: The newest of its family.
    refresh_token: str
    random: random.Random

    def enter(self) -> None:
        """Be a service on this database."""
        if os.environ.get("DATABASE_URL") != self.url:
            os.environ["DATABASE_URL"] = self.url
            start_fresh_environment()

    def anybody(self) -> int:
        """Return somebody's number."""
        return self.random.randrange(self.people)


def _fill(url: str, people: int) -> _Place:
    os.environ["DATABASE_URL"] = url
    start_fresh_environment()
    populate(url, people=people)
    return _Place(
        url=url,
        people=people,
        auditor=authorize(auditor_token())["context"],
        refresh_token=log_in(email_of(0)).json["refresh_token"],
        random=random.Random(_SEED),  # noqa: S311 - it keeps nothing secret
    )


def _round(place: _Place, ask: Callable[[_Place], None], calls: int) -> Round:
    measure = timed(lambda: ask(place), calls=calls)

    def run() -> float:
        place.enter()
        measure()  # an environment is warm when it has prepared its statements
        return measure()

    return run


def _call(function: str, event: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> Any:
    answer = handler_of(function)(event, lambda_context(function))
    assert answer["statusCode"] == status, answer
    return answer


def _log_in(place: _Place) -> None:
    person = {"email": email_of(place.anybody()), "password": PASSWORD}
    _call("login", json_event("POST", "/login", person))


def _get_user(place: _Place) -> None:
    user_id = str(id_of(place.anybody()))
    caller = {"user_id": user_id, "session_id": user_id, "token_version": "0", "expires_at": _soon()}
    event = proxy_event("GET", f"/users/{user_id}", path_parameters={"id": user_id}, authorizer=caller)
    _call("get_user", event)


def _soon() -> str:
    """Return an expiry that is to come: filling a database takes longer than a token lives."""
    return str(int(time.time()) + 60)


def _refresh(place: _Place) -> None:
    answer = _call("refresh", json_event("POST", "/token/refresh", {"refresh_token": place.refresh_token}))
    place.refresh_token = json.loads(answer["body"])["refresh_token"]


def _register(_: _Place) -> None:
    person = registration(email=f"{secrets.token_hex(8)}@example.com")
    _call("register", json_event("POST", "/users", person), status=HTTPStatus.CREATED)


def _read_audit_log(place: _Place, path: str, **query: str) -> None:
    caller = {**place.auditor, "expires_at": _soon()}
    _call("audit", proxy_event("GET", path, query=query, authorizer=caller))


def _newest_events(place: _Place) -> None:
    _read_audit_log(place, "/audit/events")


def _events_before(place: _Place) -> None:
    moment = datetime.now(UTC) - timedelta(milliseconds=place.random.randrange(SPAN))
    _read_audit_log(place, "/audit/events", to=moment.isoformat())


def _events_of_somebody(place: _Place) -> None:
    _read_audit_log(place, "/audit/events", user_id=str(id_of(place.anybody())))


def _failed_logins(place: _Place) -> None:
    _read_audit_log(place, "/audit/events", event="authn_login_fail")


def _critical_events(place: _Place) -> None:
    _read_audit_log(place, "/audit/events", severity="critical")


def _events_of_a_rare_reason(place: _Place) -> None:
    _read_audit_log(place, "/audit/events", reason="spent_token_reused")


def _summary(place: _Place, span: timedelta) -> None:
    """Ask for one that ends with what was copied, before what was measured."""
    end = datetime.now(UTC) - timedelta(hours=1)
    _read_audit_log(place, "/audit/summary", **{"from": (end - span).isoformat(), "to": end.isoformat()})


def _summary_of_a_day(place: _Place) -> None:
    _summary(place, timedelta(days=1))


def _summary_of_as_many(place: _Place) -> None:
    _summary(place, timedelta(milliseconds=SPAN * min(1, _COUNTED / (place.people * RECORDS))))


#: What is called, and how often in a round.
_CALLS: Final[Mapping[str, tuple[Callable[[_Place], None], int]]] = {
    "`POST /login` but for the hash (cost 4)": (_log_in, 20),
    "`GET /users/{id}`": (_get_user, 100),
    "`POST /token/refresh`": (_refresh, 30),
    "`POST /users` but for the hash": (_register, 20),
    "`GET /audit/events`, the newest": (_newest_events, 20),
    "`GET /audit/events`, before some day": (_events_before, 20),
    "`GET /audit/events`, of one person": (_events_of_somebody, 20),
    "`GET /audit/events`, failed logins": (_failed_logins, 20),
    "`GET /audit/events`, critical, of which there are none": (_critical_events, 20),
    "`GET /audit/events`, of a reason that no record has": (_events_of_a_rare_reason, 20),
    f"`GET /audit/summary` of {_COUNTED:,} records": (_summary_of_as_many, 5),
    "`GET /audit/summary` of a day": (_summary_of_a_day, 2),
}

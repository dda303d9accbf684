"""The audit log in numbers: what happened over time, and what the failures have in common."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from auth_common.audit.reading import open_rows, reading_time, record_reading, require_reader
from auth_common.audit_log import store
from auth_common.audit_log.store import AuditQuery
from auth_common.events.vocabulary import SecurityEvent
from auth_common.keys.keyed_hashes import source_index
from auth_common.sessions.principal import Principal
from auth_common.transactions import read

#: Bars of a chart, at most, and the length of each list of the most frequent.
_MAX_BARS: Final = 400
_MAX_COUNTS: Final = 10
#: Records of a client IP that are opened to name it: one, unless an attacker has inserted others.
_MAX_RECORDS_OPENED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Events of one kind in one interval."""

    start: datetime
    event: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often something occurred; ``None``, where nobody knows what, or it has been erased."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSummary:
    """The log in numbers."""

    from_: datetime
    to: datetime
    #: Seconds that a bar stands for.
    interval: int
    series: list[Bar]
    #: Of failures: the most frequent reasons, source addresses and accounts.
    reasons: list[Count]
    sources: list[Count]
    accounts: list[Count]


def summarise_audit_log(principal: Principal, *, from_: datetime, to: datetime) -> AuditSummary:
    """Return the log between two times in numbers.

    Raises:
        InvalidToken: the caller's session has ended.
        Forbidden: the caller's role is not one of ``READERS``.
        StepUpRequired: the caller has logged in without a passkey.

    """
    query = AuditQuery(from_=from_, to=to)
    interval = _interval(to - from_)

    def select(connection: Connection) -> AuditSummary:
        require_reader(connection, principal)
        return AuditSummary(
            from_=from_,
            to=to,
            interval=interval,
            series=_series(connection, query, interval),
            reasons=_most_frequent(connection, query, "reason"),
            sources=_most_frequent_sources(connection, query),
            accounts=_most_frequent(connection, query, "user_id"),
        )

    with reading_time():
        summary = read(select)
        record_reading(principal, "audit_summary", query)
    return summary


def _interval(span: timedelta) -> int:
    """Return the seconds of a bar: one that people count in, and not more bars than a chart shows."""
    seconds = span.total_seconds()
    choices = (60, 300, 900, 3600, 6 * 3600, 24 * 3600)
    return next((choice for choice in choices if seconds / choice <= _MAX_BARS), 7 * 24 * 3600)


def _series(connection: Connection, query: AuditQuery, interval: int) -> list[Bar]:
    names = [event.value for event in SecurityEvent]
    counts = store.count_events(connection, query, interval=interval * 1000, names=names)
    return [
        Bar(start=datetime.fromtimestamp(start * interval, UTC), event=event, outcome=outcome, count=count)
        for start, event, outcome, count in counts
    ]


def _failures(query: AuditQuery) -> AuditQuery:
    return replace(query, outcome="failure")


def _most_frequent(connection: Connection, query: AuditQuery, column: str) -> list[Count]:
    counts = store.count_by(connection, _failures(query), column, limit=_MAX_COUNTS)
    return [Count(value=str(value) if value else None, count=count) for value, count in counts]


def _most_frequent_sources(connection: Connection, query: AuditQuery) -> list[Count]:
    """Return addresses: their keyed hashes are counted, and a record of each is opened for its name."""
    counts = []
    for source, count in store.count_by(connection, _failures(query), "source", limit=_MAX_COUNTS):
        addresses: list[str | None] = []
        if isinstance(source, bytes):
            found = store.select_page(connection, query, limit=_MAX_RECORDS_OPENED, source=source)
            addresses = [record.source_ip for record in open_rows(connection, found)]
        # An inserted record may name another client IP than the one whose hash it has.
        addresses = [address for address in addresses if address and source_index(address) == source]
        counts.append(Count(value=addresses[0] if addresses else None, count=count))
    return counts

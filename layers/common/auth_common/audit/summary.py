"""Summarise the audit log: the number of events over time, and what the failures have in common."""

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

#: The maximum number of intervals in a chart.
_MAX_BARS: Final = 400
#: The length of each list of most frequent values.
_MAX_COUNTS: Final = 10
#: Records that are decrypted to find a client IP by its hash. One is enough unless an attacker has inserted others.
_MAX_RECORDS_OPENED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The number of events of one name and outcome in one interval."""

    start: datetime
    event: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A value and the number of its records. The value is None if it is unknown or erased."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSummary:
    """The numbers of the audit log between two times."""

    from_: datetime
    to: datetime
    #: The length of an interval, in seconds.
    interval: int
    series: list[Bar]
    #: The most frequent reasons, client IPs and accounts of failures.
    reasons: list[Count]
    sources: list[Count]
    accounts: list[Count]


def summarise_audit_log(principal: Principal, *, from_: datetime, to: datetime) -> AuditSummary:
    """Return the numbers of the log between two times, and record the reading.

    Raises:
        InvalidToken, Forbidden, PasskeyLoginRequired: As for ``list_audit_records``.

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
    """Return the seconds of an interval: the shortest usual length that gives at most ``_MAX_BARS`` intervals."""
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
    """Return the most frequent client IPs. Their hashes are counted, and a record of each is decrypted for the IP."""
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

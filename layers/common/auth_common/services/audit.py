"""The audit log, as the Security team reads it: page by page, counted, and each record checked as it is read."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.db import audit_events as store
from auth_common.db.audit_events import AuditRow, Filters, Place
from auth_common.db.engine import read
from auth_common.db.tables import audit_events
from auth_common.errors import Forbidden
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.audit_protection import FIRST_PREVIOUS_MAC, chain_mac, open_personal, source_index
from auth_common.services.principal import Principal
from auth_common.services.standing import check_standing, require_mfa

PAGE_SIZE: Final = 50
#: Who may read.
READERS: Final = frozenset({"security", "admin"})
#: Bars of a chart, at most, and the length of each list of the most frequent.
_MOST_BARS: Final = 400
_TOP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One event of the log, opened."""

    chain_id: UUID
    sequence: int
    time: datetime
    event: str
    outcome: str
    severity: int
    user_id: UUID | None
    reason: str | None
    source_ip: str | None
    user_agent: str | None
    function: str
    method: str
    path: str
    request_id: str
    detail: dict[str, Any]
    #: Whether the personal fields have been erased.
    erased: bool
    #: Whether the record and its place are as they were written.
    intact: bool
    mac: bytes


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page, newest first; ``next_place`` is ``None`` on the last one."""

    items: list[AuditRecord]
    next_place: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """What a reader asks for; ``None`` stands for everything."""

    since: datetime | None = None
    until: datetime | None = None
    event: str | None = None
    outcome: str | None = None
    #: At least so severe (OCSF's ``severity_id``).
    severity: int | None = None
    user_id: UUID | None = None
    source_ip: str | None = None
    reason: str | None = None
    except_reason: str | None = None

    def as_filters(self) -> Filters:
        """Return the query in the database's terms."""
        return Filters(
            since=_milliseconds(self.since) if self.since else None,
            until=_milliseconds(self.until) if self.until else None,
            name=self.event,
            outcome=self.outcome,
            severity=self.severity,
            user_id=self.user_id,
            source=source_index(self.source_ip) if self.source_ip else None,
            reason=self.reason,
            except_reason=self.except_reason,
        )

    def __str__(self) -> str:
        """Return what is asked for, as the record of the reading keeps it: without the address, which is personal."""
        asked = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source_ip"}
        return " ".join(f"{name}={value}" for name, value in asked.items() if value is not None) or "everything"


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

    since: datetime
    until: datetime
    #: Seconds that a bar stands for.
    interval: int
    series: list[Bar]
    #: Of failures: the most frequent reasons, source addresses and accounts.
    reasons: list[Count]
    sources: list[Count]
    accounts: list[Count]


def list_audit_records(principal: Principal, query: AuditQuery, *, before: Place | None) -> AuditPage:
    """Return a page of the log.

    Raises:
        InvalidToken: the caller's session has ended.
        Forbidden: the caller's role is not one of ``READERS``.
        StepUpRequired: the caller has logged in without a passkey.

    """

    def select(connection: Connection) -> AuditPage:
        require_reader(connection, principal)
        rows = store.select_page(connection, query.as_filters(), limit=PAGE_SIZE + 1, before=before)
        more = rows[PAGE_SIZE - 1][0].place if len(rows) > PAGE_SIZE else None
        return AuditPage(open_rows(connection, rows[:PAGE_SIZE]), more)

    page = read(select)
    _record_reading(principal.user_id, "audit_events", str(query))
    return page


def summarise_audit_log(principal: Principal, *, since: datetime, until: datetime) -> AuditSummary:
    """Return the log between two times in numbers.

    Raises:
        InvalidToken: the caller's session has ended.
        Forbidden: the caller's role is not one of ``READERS``.
        StepUpRequired: the caller has logged in without a passkey.

    """
    query = AuditQuery(since=since, until=until)
    interval = _interval(until - since)

    def select(connection: Connection) -> AuditSummary:
        require_reader(connection, principal)
        return AuditSummary(
            since=since,
            until=until,
            interval=interval,
            series=_series(connection, query.as_filters(), interval),
            reasons=_most_frequent(connection, query, "reason"),
            sources=_most_frequent_sources(connection, query),
            accounts=_most_frequent(connection, query, "user_id"),
        )

    summary = read(select)
    _record_reading(principal.user_id, "audit_summary", str(query))
    return summary


def _record_reading(user_id: UUID, target: str, filters: str) -> None:
    security_event(SecurityEvent.SENSITIVE_READ, user_id=user_id, reason="audit_log", target=target, filters=filters)


def require_reader(connection: Connection, principal: Principal) -> None:
    """Let pass who may read the audit log: by role, and logged in with a passkey (ASVS 5.0 16.4.2)."""
    standing = check_standing(connection, principal)
    if standing.role not in READERS:
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="role_not_sufficient")
        raise Forbidden
    require_mfa(principal, standing)


def open_rows(connection: Connection, rows: list[tuple[AuditRow, bytes | None]]) -> list[AuditRecord]:
    """Return rows with their personal fields readable, and each compared with its MAC."""
    salts = store.select_salts(connection, user_ids={row.user_id for row, _ in rows if row.user_id})
    return [_open(row, previous_mac, salts) for row, previous_mac in rows]


def is_intact(row: AuditRow, previous_mac: bytes | None) -> bool:
    """Tell whether ``row`` is as it was written, at its place: its MAC, and the columns that repeat the record."""
    previous = FIRST_PREVIOUS_MAC if row.sequence == 0 else previous_mac
    if previous is None:
        return False
    expected = chain_mac(previous=previous, chain_id=row.chain_id, sequence=row.sequence, record=row.record)
    if expected != row.mac:
        return False
    document = json.loads(row.record)
    user_id = str(row.user_id) if row.user_id else None
    repeated = (row.time, row.name, row.outcome, row.severity, user_id, row.reason)
    return repeated == tuple(document[name] for name in ("time", "event", "outcome", "severity", "user_id", "reason"))


def _open(row: AuditRow, previous_mac: bytes | None, salts: dict[UUID, bytes]) -> AuditRecord:
    intact = is_intact(row, previous_mac)
    try:
        document = json.loads(row.record)
    except ValueError:  # changed by somebody who did not care
        document = {}
    personal, erased = _personal(row, document, salts)
    source_ip = personal.get("source_ip")
    if row.source is not None and source_ip is not None and source_index(source_ip) != row.source:
        intact = False
    return AuditRecord(
        chain_id=row.chain_id,
        sequence=row.sequence,
        time=datetime.fromtimestamp(row.time / 1000, UTC),
        event=row.name,
        outcome=row.outcome,
        severity=row.severity,
        user_id=row.user_id,
        reason=row.reason,
        source_ip=source_ip,
        user_agent=personal.get("user_agent"),
        function=document.get("function", ""),
        method=document.get("method", ""),
        path=document.get("path", ""),
        request_id=document.get("request_id", ""),
        detail=document.get("detail", {}),
        erased=erased,
        intact=intact,
        mac=row.mac,
    )


def _personal(row: AuditRow, document: dict[str, Any], salts: dict[UUID, bytes]) -> tuple[dict[str, str], bool]:
    """Return the personal fields, and whether they have been erased."""
    sealed = document.get("sealed")
    if sealed is None:
        return document.get("personal", {}), False
    salt = salts.get(row.user_id) if row.user_id else None
    opened = open_personal(sealed, user_id=row.user_id, salt=salt) if salt and row.user_id else None
    return opened or {}, opened is None


def _interval(span: timedelta) -> int:
    """Return the seconds of a bar: one that people count in, and not more bars than a chart shows."""
    seconds = span.total_seconds()
    choices = (60, 300, 900, 3600, 6 * 3600, 24 * 3600)
    return next((choice for choice in choices if seconds / choice <= _MOST_BARS), 7 * 24 * 3600)


def _series(connection: Connection, filters: Filters, interval: int) -> list[Bar]:
    columns = audit_events.c
    start = (columns.time // (interval * 1000)).label("start")
    counts = store.count_by(connection, filters, start, columns.name, columns.outcome, most_first=False)
    return [
        Bar(
            start=datetime.fromtimestamp(row["start"] * interval, UTC),
            event=row["name"],
            outcome=row["outcome"],
            count=row["count"],
        )
        for row in counts
    ]


def _failures(query: AuditQuery) -> Filters:
    return Filters(since=query.as_filters().since, until=query.as_filters().until, outcome="failure")


def _most_frequent(connection: Connection, query: AuditQuery, column: str) -> list[Count]:
    counts = store.count_by(connection, _failures(query), audit_events.c[column], limit=_TOP)
    return [Count(value=str(row[column]) if row[column] else None, count=row["count"]) for row in counts]


def _most_frequent_sources(connection: Connection, query: AuditQuery) -> list[Count]:
    """Return addresses: what is counted are their keyed hashes, and one record of each can be opened for its name."""
    filters = _failures(query)
    counts = []
    for row in store.count_by(connection, filters, audit_events.c.source, limit=_TOP):
        found = store.select_page(connection, Filters(source=row["source"]), limit=1) if row["source"] else []
        addresses = [record.source_ip for record in open_rows(connection, found)]
        counts.append(Count(value=addresses[0] if addresses else None, count=row["count"]))
    return counts


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)

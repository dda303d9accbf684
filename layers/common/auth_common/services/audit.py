"""The audit log, as the Security team reads it: page by page, each record opened and checked as it is read."""

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.db import audit_events as store
from auth_common.db.audit_events import AuditRow, Filters, Place
from auth_common.db.engine import read
from auth_common.errors import Forbidden
from auth_common.monitoring.occurrence import Occurrence
from auth_common.monitoring.request_context import RequestContext
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.monitoring.vocabulary import Severity
from auth_common.security.audit_protection import FIRST_PREVIOUS_MAC, chain_mac, open_personal, source_index
from auth_common.services.principal import Principal
from auth_common.services.standing import check_standing, require_mfa

PAGE_SIZE: Final = 50
#: Records that an operator's command reads at once.
BATCH: Final = 1000
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
#: Who may read.
READERS: Final = frozenset({"security", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One event of the log, opened."""

    chain_id: UUID
    sequence: int
    time: datetime
    event: str
    outcome: str
    severity: Severity
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
    #: Where it stands in the order of the log, even if somebody has changed its time to one that is none.
    place: Place

    def as_occurrence(self) -> Occurrence:
        """Return what happened, as the log line told it."""
        return Occurrence(
            event=SecurityEvent(self.event),
            time=_milliseconds(self.time),
            user_id=self.user_id,
            reason=self.reason,
            request=RequestContext(
                request_id=self.request_id,
                function=self.function,
                method=self.method,
                path=self.path,
                source_ip=self.source_ip or "",
                user_agent=self.user_agent or "",
            ),
            detail=self.detail,
        )


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
            # Everything is at least informational, also what was tampered with to be less.
            severity=self.severity if (self.severity or 0) > Severity.INFORMATIONAL else None,
            user_id=self.user_id,
            source=source_index(self.source_ip) if self.source_ip else None,
            reason=self.reason,
            except_reason=self.except_reason,
        )

    def __str__(self) -> str:
        """Return what is asked for, as the record of the reading keeps it: without the address, which is personal."""
        asked = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source_ip"}
        return " ".join(f"{name}={value}" for name, value in asked.items() if value is not None) or "everything"


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
    record_reading(principal, "audit_events", query)
    return page


def read_audit_records(
    query: AuditQuery, *, after: Place | None = None, newest: int | None = None
) -> list[AuditRecord]:
    """Return records for an operator, oldest first: a batch from ``after`` on, or the ``newest`` so many."""

    def select(connection: Connection) -> list[AuditRecord]:
        if newest is not None:
            return open_rows(connection, store.select_page(connection, query.as_filters(), limit=newest))[::-1]
        start = after or (-1, UUID(int=0), 0)
        return open_rows(connection, store.select_page(connection, query.as_filters(), limit=BATCH, after=start))

    return read(select)


def require_reader(connection: Connection, principal: Principal) -> None:
    """Let pass who may read the audit log: by role, and logged in with a passkey (ASVS 5.0 16.4.2)."""
    standing = check_standing(connection, principal)
    if standing.role not in READERS:
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="role_not_sufficient")
        raise Forbidden
    require_mfa(principal, standing)


def record_reading(principal: Principal, target: str, query: AuditQuery) -> None:
    """Record that somebody has read the log. The reason lets a page that polls leave its own readings out."""
    filters, user_id = str(query), principal.user_id
    security_event(SecurityEvent.SENSITIVE_READ, user_id=user_id, reason="audit_log", target=target, filters=filters)


def open_rows(connection: Connection, rows: list[tuple[AuditRow, bytes | None]]) -> list[AuditRecord]:
    """Return rows with their personal fields readable, and each compared with its MAC."""
    salts = store.select_salts(connection, user_ids={row.user_id for row, _ in rows if row.user_id})
    return [_open(row, previous_mac, salts) for row, previous_mac in rows]


def is_intact(row: AuditRow, previous_mac: bytes | None) -> bool:
    """Tell whether ``row`` is as it was written, at its place: its MAC, and the columns that repeat the record."""
    previous = FIRST_PREVIOUS_MAC if row.sequence == 0 else previous_mac
    if previous is None:
        return False
    return has_mac(row, previous=previous, place=row.sequence) and columns_agree(row)


def has_mac(row: AuditRow, *, previous: bytes, place: int) -> bool:
    """Tell whether the MAC of ``row`` is the one of its record at ``place``, behind the MAC ``previous``."""
    expected = chain_mac(previous=previous, chain_id=row.chain_id, sequence=place, record=row.record)
    return hmac.compare_digest(expected, row.mac)


def columns_agree(row: AuditRow) -> bool:
    """Tell whether the columns by which a record is found say what the record says."""
    document = json.loads(row.record)
    if "personal" in document:
        source_ip = document["personal"].get("source_ip")
        if row.source != (source_index(source_ip) if source_ip else None):
            return False
    user_id = str(row.user_id) if row.user_id else None
    repeated = (row.time, row.name, row.outcome, row.severity, user_id, row.reason)
    return repeated == tuple(document[name] for name in ("time", "event", "outcome", "severity", "user_id", "reason"))


def _open(row: AuditRow, previous_mac: bytes | None, salts: dict[UUID, bytes]) -> AuditRecord:
    intact = is_intact(row, previous_mac)
    # What was tampered with must be shown, whatever it is now; it must not break the reading of the rest.
    document = _members(row.record)
    personal, erased = _personal(row, document, salts)
    source_ip = _text(personal, "source_ip")
    if row.source is not None and source_ip and source_index(source_ip) != row.source:
        intact = False
    detail = document.get("detail")
    return AuditRecord(
        chain_id=row.chain_id,
        sequence=row.sequence,
        time=_LATEST if row.time > _milliseconds(_LATEST) else datetime.fromtimestamp(max(row.time, 0) / 1000, UTC),
        event=row.name,
        outcome=row.outcome,
        severity=Severity(min(max(row.severity, Severity.INFORMATIONAL), Severity.CRITICAL)),
        user_id=row.user_id,
        reason=row.reason,
        source_ip=source_ip or None,
        user_agent=_text(personal, "user_agent") or None,
        function=_text(document, "function"),
        method=_text(document, "method"),
        path=_text(document, "path"),
        request_id=_text(document, "request_id"),
        detail=detail if isinstance(detail, dict) else {},
        erased=erased,
        intact=intact,
        mac=row.mac,
        place=row.place,
    )


def _members(record: str) -> dict[str, Any]:
    """Return the members of a record; none, where somebody has made of it what cannot be shown."""
    try:
        # A lone surrogate could be read, and then not be written.
        document = json.loads(record.encode().decode(), parse_constant=_refuse)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _personal(row: AuditRow, document: dict[str, Any], salts: dict[UUID, bytes]) -> tuple[dict[str, Any], bool]:
    """Return the personal fields, and whether they have been erased."""
    if row.user_id is None:
        personal = document.get("personal")
        return personal if isinstance(personal, dict) else {}, False
    sealed = _text(document, "sealed")
    salt = salts.get(row.user_id)
    opened = open_personal(sealed, user_id=row.user_id, salt=salt) if sealed and salt else None
    return opened or {}, opened is None and bool(sealed)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)

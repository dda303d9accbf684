"""Read the audit log page by page. Each record is decrypted and compared with its MAC as it is read."""

import hmac
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.audit_log import store
from auth_common.audit_log.protection import FIRST_PREVIOUS_MAC, chain_mac, open_personal
from auth_common.audit_log.salt_store import select_salts
from auth_common.audit_log.store import AuditQuery, AuditRow, Place, StoredRow, milliseconds
from auth_common.database.time_limit import time_limit
from auth_common.errors import FieldError, Forbidden, ValidationFailed
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.events.vocabulary import Severity
from auth_common.keys.keyed_hashes import source_index
from auth_common.sessions.caller_checks import require_mfa, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.settings import settings
from auth_common.strict_json import parse_strict_json
from auth_common.transactions import read

PAGE_SIZE: Final = 50
#: Records per batch of an operator's command.
BATCH_RECORDS: Final = 1000
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
MAX_CLOCK_LEAD: Final = store.MAX_CLOCK_LEAD
#: The roles that may read the audit log.
READERS: Final = frozenset({"security", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A record of the audit log, decrypted and checked."""

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
    #: Whether neither the record nor its place was tampered with.
    intact: bool
    mac: bytes
    #: The place in the order of the log, also if an attacker has replaced the time by something else.
    place: Place

    def to_event(self) -> RecordedEvent:
        """Return the security event, as the log line of the event has it."""
        return RecordedEvent(
            name=SecurityEvent(self.event),
            time=milliseconds(self.time),
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
    """A page of records, newest first. ``next_place`` is None on the last page."""

    items: list[AuditRecord]
    next_place: Place | None


def list_audit_records(principal: Principal, query: AuditQuery, *, before: Place | None) -> AuditPage:
    """Return a page of the log for a caller, and record the reading.

    Raises:
        InvalidToken: The caller's session is not valid any more.
        Forbidden: The caller's role is not one of ``READERS``.
        PasskeyLoginRequired: The caller has logged in without a passkey, or has no passkey any more.
        ValidationFailed: ``before`` is not a place in this log.

    """

    def select(connection: Connection) -> AuditPage:
        require_reader(connection, principal)
        if before is not None and not store.is_place(connection, before):
            raise ValidationFailed(FieldError("cursor", "is not a cursor of this list"))
        rows = _select_newest(connection, query, limit=PAGE_SIZE + 1, before=before)
        more = rows[PAGE_SIZE - 1].place if len(rows) > PAGE_SIZE else None
        return AuditPage(open_rows(connection, rows[:PAGE_SIZE]), more)

    with reading_time():
        page = read(select)
        record_reading(principal, "audit_events", query)
    return page


def read_audit_records(
    query: AuditQuery, *, after: Place | None = None, newest: int | None = None
) -> list[AuditRecord]:
    """Return records for an operator, oldest first.

    Args:
        query: Which records match.
        after: Return the first ``BATCH_RECORDS`` records after this place, or from the oldest on.
        newest: Return this number of newest records instead.

    """

    def select(connection: Connection) -> list[AuditRecord]:
        if newest is not None:
            return open_rows(connection, _select_newest(connection, query, limit=newest))[::-1]
        return open_rows(
            connection, store.select_page(connection, query, limit=BATCH_RECORDS, after=after, oldest_first=True)
        )

    return read(select)


def _select_newest(
    connection: Connection, query: AuditQuery, *, limit: int, before: Place | None = None
) -> list[StoredRow]:
    """Return a page, newest first, with records from the future at the end.

    Otherwise an attacker could insert records from the future that fill the first page for ever.
    """
    horizon = datetime.now(UTC) + MAX_CLOCK_LEAD
    rows: list[StoredRow] = []
    if before is None or (isinstance(before[0], int | float) and before[0] < milliseconds(horizon)):
        past = replace(query, to=min(query.to or horizon, horizon))
        rows = store.select_page(connection, past, limit=limit, before=before)
        before = None
    if len(rows) < limit and (query.to is None or query.to > horizon):
        future = replace(query, from_=max(query.from_ or horizon, horizon))
        rows += store.select_page(connection, future, limit=limit - len(rows), before=before)
    return rows


def reading_time() -> AbstractContextManager[None]:
    """Give all statements of a reading and its record one deadline: twice ``DATABASE_TIMEOUT``.

    Otherwise they may together take longer than API Gateway waits, and the caller would get no problem document.
    """
    return time_limit(2 * settings().database_timeout)


def require_reader(connection: Connection, principal: Principal) -> None:
    """Require a role that may read the audit log, and a login with a passkey (ASVS 5.0 16.4.2).

    Raises:
        InvalidToken, Forbidden, PasskeyLoginRequired: As for ``list_audit_records``.

    """
    caller_state = require_valid_session(connection, principal)
    if caller_state.role not in READERS:
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="role_not_sufficient")
        raise Forbidden
    require_mfa(connection, principal, caller_state)


def record_reading(principal: Principal, target: str, query: AuditQuery) -> None:
    """Record that a caller has read the log. A page that polls leaves out these records by their reason."""
    filters, user_id = str(query), principal.user_id
    security_event(SecurityEvent.SENSITIVE_READ, user_id=user_id, reason="audit_log", target=target, filters=filters)


def open_rows(connection: Connection, rows: list[StoredRow]) -> list[AuditRecord]:
    """Return rows as records, with their personal fields decrypted, and each compared with its MAC."""
    personal = open_all_personal(connection, rows)
    return [_open(stored, opened) for stored, opened in zip(rows, personal, strict=True)]


def is_intact(stored: StoredRow, previous_mac: bytes | None) -> bool:
    """Return whether neither a row nor its place was tampered with: its MAC is right, and its columns agree with it."""
    row = stored.row
    previous = FIRST_PREVIOUS_MAC if row.sequence == 0 else previous_mac
    if previous is None or not stored.is_readable:
        return False
    return has_mac(row, previous=previous, place=row.sequence) and columns_agree(row)


def has_mac(row: AuditRow, *, previous: bytes, place: int) -> bool:
    """Return whether the MAC of ``row`` is right for its record at ``place``, after a record with MAC ``previous``."""
    expected = chain_mac(previous=previous, chain_id=row.chain_id, sequence=place, record=row.record)
    return hmac.compare_digest(expected, row.mac)


def columns_agree(row: AuditRow) -> bool:
    """Return whether the columns repeat the fields of the record, whose MAC must be right.

    The hash of the client IP can only be compared if the client IP is not encrypted. See ``open_all_personal``.
    """
    document = json.loads(row.record)
    if "personal" in document:
        source_ip = document["personal"].get("source_ip")
        if row.source != (source_index(source_ip) if source_ip else None):
            return False
    elif "sealed" not in document and row.source is not None:
        return False
    user_id = str(row.user_id) if row.user_id else None
    repeated = (row.time, row.name, row.outcome, row.severity, user_id, row.reason)
    return repeated == tuple(document[name] for name in ("time", "event", "outcome", "severity", "user_id", "reason"))


@dataclass(frozen=True, slots=True)
class Personal:
    """The decrypted personal fields of a record."""

    fields: dict[str, Any]
    #: Whether the fields were erased with the account.
    erased: bool = False
    #: What is wrong with salt or client IP, as the end of a sentence about the record. None if nothing is wrong.
    fault: str | None = None


def open_all_personal(connection: Connection, rows: list[StoredRow]) -> list[Personal]:
    """Return the personal fields of each row, which are empty if the user's salt does not decrypt them."""
    documents = [_members(stored.row.record) for stored in rows]
    owners = {stored.row.user_id for stored in rows if stored.row.user_id}
    salts = select_salts(connection, user_ids=owners)
    # A salt may be missing only if the user was erased, and then the account is missing too.
    existing = store.select_existing(connection, user_ids=owners - salts.keys())
    return [
        _open_personal(stored.row, document, salts, existing) for stored, document in zip(rows, documents, strict=True)
    ]


def _open_personal(row: AuditRow, document: dict[str, Any], salts: dict[UUID, bytes], existing: set[UUID]) -> Personal:
    sealed = _text(document, "sealed")
    if row.user_id is None or not sealed:
        personal = document.get("personal") if row.user_id is None else None
        return Personal(personal if isinstance(personal, dict) else {})
    salt = salts.get(row.user_id)
    if salt is None:
        is_erased = row.user_id not in existing
        return Personal({}, is_erased, None if is_erased else "has lost its salt, although the account exists")
    opened = open_personal(sealed, user_id=row.user_id, salt=salt)
    if opened is None:
        return Personal({}, fault="has a salt that does not open it")
    source_ip = opened.get("source_ip")
    if row.source != (source_index(source_ip) if source_ip else None):
        return Personal(opened, fault="is found by another client IP than the one that was written")
    return Personal(opened)


def _open(stored: StoredRow, personal: Personal) -> AuditRecord:
    row = stored.row
    # A record that was tampered with is shown too, and must not prevent the reading of the others.
    document = _members(row.record)
    source_ip = _text(personal.fields, "source_ip")
    return AuditRecord(
        chain_id=row.chain_id,
        sequence=row.sequence,
        time=_LATEST if row.time > milliseconds(_LATEST) else datetime.fromtimestamp(max(row.time, 0) / 1000, UTC),
        event=row.name,
        outcome=row.outcome,
        severity=Severity(min(max(row.severity, Severity.INFORMATIONAL), Severity.CRITICAL)),
        user_id=row.user_id,
        reason=row.reason,
        source_ip=source_ip or None,
        user_agent=_text(personal.fields, "user_agent") or None,
        function=_text(document, "function"),
        method=_text(document, "method"),
        path=_text(document, "path"),
        request_id=_text(document, "request_id"),
        detail=_detail(document),
        erased=personal.erased,
        intact=personal.fault is None and is_intact(stored, stored.previous_mac),
        mac=row.mac,
        place=stored.place,
    )


def _members(record: str) -> dict[str, Any]:
    """Return the members of a record's JSON. Return none if an attacker has replaced it by other text."""
    try:
        document = parse_strict_json(record.encode())
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _detail(document: dict[str, Any]) -> dict[str, Any]:
    """Return the further fields, which are texts, numbers or lists of these. Return none if any is nested deeper."""
    detail = document.get("detail")
    if not isinstance(detail, dict):
        return {}
    items = (item for value in detail.values() for item in (value if isinstance(value, list) else [value]))
    return {} if any(isinstance(item, dict | list) for item in items) else detail


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""

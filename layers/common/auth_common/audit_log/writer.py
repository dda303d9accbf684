"""The audit log's way from ``logging`` into the database.

An event that happens inside a ``transaction()`` is held until the body is through; then its row is written by the same
transaction, so that an audited change and its record commit together, and when that has happened its line goes to the
log. A body that runs again, because of a conflict, leaves no trace of its first try. Where the transaction fails, the
successes that it was about never happened; its refusals did, and get a transaction of their own.

Each environment (strictly, each of its threads) writes a chain of its own, so there is no row that all of them fight
for. The line in the log carries the record's MAC: what was in the database at that moment can be proved later.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from auth_common.audit_log.protection import FIRST_PREVIOUS_MAC, chain_mac, seal_personal
from auth_common.audit_log.store import AuditRow, insert_rows, make_salt
from auth_common.database.retries import run_transaction
from auth_common.errors import DatabaseUnavailable, ServiceError
from auth_common.events import metrics
from auth_common.events.occurrence import Occurrence
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import as_log_record, publishing_handler, security_log
from auth_common.events.vocabulary import SecurityEvent
from auth_common.keys.keyed_hashes import source_index
from auth_common.snapshots import before_snapshot

_T = TypeVar("_T")
#: Counted when a record could not be stored.
WRITE_FAILURE_METRIC: Final = "audit_write_fail"

#: Milliseconds that a chain goes on. Retention deletes whole chains, and never one that may still grow.
_LONGEST_CHAIN: Final = 24 * 3600 * 1000

_held: ContextVar[list[logging.LogRecord] | None] = ContextVar("held_security_events", default=None)


@dataclass(frozen=True, slots=True)
class _Tip:
    """The end of a chain: where the next record goes."""

    chain_id: UUID
    #: When it began, in milliseconds since the epoch.
    begun: int
    length: int
    mac: bytes


class AuditWriterNotInstalled(RuntimeError):
    """A function or command uses the database, but its security events would not reach the audit log."""

    def __init__(self) -> None:
        """Say how to fix the function."""
        super().__init__("call install_audit_writer() where the function or command is created")


class AuditLogHandler(logging.Handler):
    """Stores each security event as a row of the audit log, and then publishes its log line and metric."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take the event without the base class's lock: who waits for the database must not keep others waiting."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Store and publish the event now, or when the transaction that it happened in is through.

        Raises:
            DatabaseUnavailable: the record of a success could not be stored.

        """
        held = _held.get()
        if held is not None:
            held.append(record)
            return
        self.store([record])

    def store(self, records: Sequence[logging.LogRecord]) -> None:
        """Store records in a transaction of their own. Where that fails, their lines say so.

        Raises:
            DatabaseUnavailable: and there was a success among them.

        """
        if not records:
            return
        entry = _Entry(records)
        try:
            run_transaction(entry.write)
        except (ServiceError, SQLAlchemyError) as error:
            entry.abandon()
            for record in records:
                record.audit = {"error": "not stored"}
                metrics.count(WRITE_FAILURE_METRIC)
            self.publish(records)
            if any(_occurrence(record).succeeded for record in records):
                raise error if isinstance(error, ServiceError) else DatabaseUnavailable() from error
            return
        self.publish(entry.commit())

    def publish(self, records: Iterable[logging.LogRecord]) -> None:
        """Hand records on."""
        for record in records:
            publishing_handler.handle(record)


_handler: Final = AuditLogHandler()


def install_audit_writer() -> None:
    """Record the security events of this process in the audit log, each before its log line. Calling it twice is safe.

    Each function with a database calls it, and so does each operator's command. Functions without a database do not:
    their events have only a log line and a metric.
    """
    if _handler not in security_log.handlers:
        security_log.removeHandler(publishing_handler)
        security_log.addHandler(_handler)


def run_audited(
    body: Callable[[Connection], _T], *, run: Callable[[Callable[[Connection], _T]], _T], read_only: bool = False
) -> _T:
    """Run ``body`` by ``run``, and record the security events that happen in it: see the module's text.

    Raises:
        AuditWriterNotInstalled: Those events would not be recorded.

    """
    if _handler not in security_log.handlers:
        raise AuditWriterNotInstalled
    held: list[logging.LogRecord] = []
    entry = _Entry([])

    def attempt(connection: Connection) -> _T:
        nonlocal entry
        entry = _Entry([])  # what an earlier try has written was rolled back
        held.clear()
        entered = _held.set(held)
        try:
            result = body(connection)
        finally:
            _held.reset(entered)
        if held and not read_only:
            entry = _Entry(held)
            entry.write(connection)
        return result

    try:
        result = run(attempt)
    except BaseException:
        entry.abandon()
        if entry.is_refused:
            metrics.count(WRITE_FAILURE_METRIC)
        _handler.store([record for record in held if not _occurrence(record).succeeded])
        raise
    if read_only:
        _handler.store(held)
    else:
        _handler.publish(entry.commit())
    return result


class _Entry:
    """Records on their way into this thread's chain."""

    def __init__(self, records: Sequence[logging.LogRecord]) -> None:
        self._records = list(records)
        self._lines: list[logging.LogRecord] = []
        self._written: _Tip | None = None
        #: Whether the database would not take the rows.
        self.is_refused = False

    def write(self, connection: Connection) -> None:
        """Insert the rows; may run again after a conflict."""
        tip = getattr(_tips(), "tip", None)
        records = self._records
        now = _occurrence(records[0]).time
        if tip is None or now - tip.begun > _LONGEST_CHAIN:
            tip = _Tip(uuid4(), now, 0, FIRST_PREVIOUS_MAC)
            records = [as_log_record(_startup(records[0])), *records]
        rows = []
        users = {_occurrence(record).user_id for record in records}
        salts = {user_id: make_salt(connection, user_id=user_id) for user_id in users}
        for record in records:
            row = _row(tip, _occurrence(record), salts)
            rows.append(row)
            tip = replace(tip, length=tip.length + 1, mac=row.mac)
            record.audit = {"chain": str(row.chain_id), "sequence": row.sequence, "mac": row.mac.hex()}
        self._written, self._lines, self.is_refused = tip, records, True
        try:
            insert_rows(connection, rows)
        except IntegrityError as error:
            # Somebody has put a record where ours belongs.
            raise DatabaseUnavailable from error
        self.is_refused = False

    def commit(self) -> list[logging.LogRecord]:
        """Make the written rows the end of the chain, and return the lines to publish."""
        if self._written is None:
            return []
        _tips().tip = self._written
        return self._lines

    def abandon(self) -> None:
        """Begin a new chain with the next record: nobody knows whether these rows were stored."""
        if self._written is not None:
            _tips().tip = None


@lru_cache(maxsize=1)
def _tips() -> threading.local:
    """Return where each thread keeps the end of its chain."""
    return threading.local()


@before_snapshot
def _end_chains() -> None:
    """Begin new chains with the next records: two environments must not go on with one."""
    _tips.cache_clear()


def _occurrence(record: logging.LogRecord) -> Occurrence:
    occurrence = record.msg
    if not isinstance(occurrence, Occurrence):
        raise TypeError("only security events belong into security_log")
    return occurrence


def _startup(first: logging.LogRecord) -> Occurrence:
    occurrence = _occurrence(first)
    # The function's own event: whose request it began with is none of its business.
    request = RequestContext(request_id=occurrence.request.request_id, function=occurrence.request.function)
    return Occurrence(event=SecurityEvent.SYS_STARTUP, time=occurrence.time, request=request)


def _row(tip: _Tip, occurrence: Occurrence, salts: Mapping[UUID | None, bytes | None]) -> AuditRow:
    user_id, source_ip = occurrence.user_id, occurrence.request.source_ip
    salt = salts[user_id] if user_id else None
    if user_id and not salt:
        # Whoever was erased stays erased, although a token of theirs may live for some minutes.
        source_ip = ""
    record = _record(occurrence, salt)
    return AuditRow(
        chain_id=tip.chain_id,
        sequence=tip.length,
        time=occurrence.time,
        name=occurrence.event.value,
        outcome=occurrence.outcome,
        severity=int(occurrence.severity),
        user_id=occurrence.user_id,
        source=source_index(source_ip) if source_ip else None,
        reason=occurrence.reason,
        record=record,
        mac=chain_mac(previous=tip.mac, chain_id=tip.chain_id, sequence=tip.length, record=record),
    )


def _record(occurrence: Occurrence, salt: bytes | None) -> str:
    """Return the event as JSON, one spelling for one event."""
    request = occurrence.request
    document: dict[str, Any] = {
        "event": occurrence.event.value,
        "time": occurrence.time,
        "outcome": occurrence.outcome,
        "severity": int(occurrence.severity),
        "user_id": str(occurrence.user_id) if occurrence.user_id else None,
        "reason": occurrence.reason,
        "request_id": request.request_id,
        "function": request.function,
        "method": request.method,
        "path": request.path,
        "detail": dict(occurrence.detail),
    }
    personal = {name: value for name in ("source_ip", "user_agent") if (value := getattr(request, name))}
    if occurrence.user_id is None:
        # Nobody is known whom it could be erased for; it goes when the record does.
        document["personal"] = personal
    elif salt and personal:
        document["sealed"] = seal_personal(personal, user_id=occurrence.user_id, salt=salt)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))

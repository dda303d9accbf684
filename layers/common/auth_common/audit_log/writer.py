"""The audit writer: stores each security event as a row of the audit log.

It is a handler of Python's ``logging``. An event inside a ``transaction()`` is held until the body has returned. The
same transaction then writes its row, so an audited change and its audit record commit together. The log line follows
the commit. If the body runs again after a conflict, the events of its first run are dropped. If the transaction fails,
its events of success are dropped, and its events of failure get a transaction of their own.

Each thread of an environment writes its own chain, so no two writers need the same row. The log line carries the
record's MAC, which proves later what was in the database at that moment.
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
from auth_common.audit_log.salt_store import make_salt
from auth_common.audit_log.store import AuditRow, insert_rows
from auth_common.database.pipeline import is_of_waiting_write
from auth_common.database.retries import run_transaction
from auth_common.errors import DatabaseUnavailable, ServiceError
from auth_common.events import metrics
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import as_log_record, publishing_handler, security_log
from auth_common.events.vocabulary import SecurityEvent
from auth_common.keys.keyed_hashes import source_index
from auth_common.snapshots import before_snapshot

_T = TypeVar("_T")
#: Counted when a record could not be stored.
WRITE_FAILURE_METRIC: Final = "audit_write_fail"

#: Milliseconds after which a thread begins a new chain. Retention deletes only whole chains that no longer grow.
_MAX_CHAIN_AGE_MS: Final = 24 * 3600 * 1000

_held: ContextVar[list[logging.LogRecord] | None] = ContextVar("held_security_events", default=None)


@dataclass(frozen=True, slots=True)
class _ChainEnd:
    """The end of a chain, to which the next record is appended."""

    chain_id: UUID
    #: When the chain began, in milliseconds since the epoch.
    begun: int
    length: int
    mac: bytes


class AuditWriterNotInstalled(RuntimeError):
    """The function or command uses the database, but its security events would not reach the audit log."""

    def __init__(self) -> None:
        """Say how to fix the function."""
        super().__init__("call install_audit_writer() where the function or command is created")


class AuditLogHandler(logging.Handler):
    """Stores each security event as a row of the audit log, and then publishes its log line and metric."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Handle the event without the lock of the base class, because a slow database must not block other threads."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hold the event if a transaction or read is running. Otherwise store and publish it now.

        Raises:
            DatabaseUnavailable: The record of a success could not be stored.

        """
        held = _held.get()
        if held is not None:
            held.append(record)
            return
        self.store([record])

    def store(self, log_records: Sequence[logging.LogRecord]) -> None:
        """Store and publish events in a transaction of their own. If that fails, their log lines say so.

        Raises:
            DatabaseUnavailable: The events could not be stored, and one of them is a success.

        """
        if not log_records:
            return
        extension = _ChainExtension(log_records)
        try:
            run_transaction(extension.write)
        except (ServiceError, SQLAlchemyError) as error:
            extension.abandon()
            for log_record in log_records:
                log_record.audit = {"error": "not stored"}
                metrics.count(WRITE_FAILURE_METRIC)
            self.publish(log_records)
            if any(_event_of(log_record).succeeded for log_record in log_records):
                raise error if isinstance(error, ServiceError) else DatabaseUnavailable() from error
            return
        self.publish(extension.commit())

    def publish(self, log_records: Iterable[logging.LogRecord]) -> None:
        """Write the log lines and count the metrics."""
        for log_record in log_records:
            publishing_handler.handle(log_record)


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
    """Run ``body`` by ``run``, and record its security events as the module's docstring says.

    Args:
        body: The statements of a transaction or read. It may run several times.
        run: A function of ``database.retries``.
        read_only: Whether the events need a transaction of their own, because ``run`` has none.

    Raises:
        AuditWriterNotInstalled: The events would not be recorded.

    """
    if _handler not in security_log.handlers:
        raise AuditWriterNotInstalled
    held: list[logging.LogRecord] = []
    extension = _ChainExtension([])

    def attempt(connection: Connection) -> _T:
        nonlocal extension
        extension = _ChainExtension([])  # the rows of an earlier try were rolled back
        held.clear()
        entered = _held.set(held)
        try:
            result = body(connection)
        finally:
            _held.reset(entered)
        if held and not read_only:
            extension = _ChainExtension(held)
            extension.write(connection)
        return result

    try:
        result = run(attempt)
    except BaseException as error:
        extension.abandon()
        is_refused = extension.is_refused_with(error)
        if is_refused:
            metrics.count(WRITE_FAILURE_METRIC)
        _handler.store([log_record for log_record in held if not _event_of(log_record).succeeded])
        if is_refused and isinstance(error, IntegrityError):
            # Another writer has stored a row at this place of the chain.
            raise DatabaseUnavailable from error
        raise
    if read_only:
        _handler.store(held)
    else:
        _handler.publish(extension.commit())
    return result


class _ChainExtension:
    """Events that are about to be appended to this thread's chain."""

    def __init__(self, log_records: Sequence[logging.LogRecord]) -> None:
        self._log_records = list(log_records)
        self._published: list[logging.LogRecord] = []
        self._new_end: _ChainEnd | None = None
        #: Whether the database has rejected the INSERT.
        self._is_refused = False

    def write(self, connection: Connection) -> None:
        """Insert the rows. May run again after a conflict."""
        end = getattr(_chain_ends(), "end", None)
        log_records = self._log_records
        now = _event_of(log_records[0]).time
        if end is None or now - end.begun > _MAX_CHAIN_AGE_MS:
            end = _ChainEnd(uuid4(), now, 0, FIRST_PREVIOUS_MAC)
            log_records = [as_log_record(_startup(log_records[0])), *log_records]
        rows = []
        # Without any user one query is sent, because a failed login must take the same number of round trips for an
        # unknown address.
        users: set[UUID | None] = {_event_of(log_record).user_id for log_record in log_records} - {None} or {None}
        salts = {user_id: make_salt(connection, user_id=user_id) for user_id in users}
        for log_record in log_records:
            row = _row(end, _event_of(log_record), salts)
            rows.append(row)
            end = replace(end, length=end.length + 1, mac=row.mac)
            log_record.audit = {"chain": str(row.chain_id), "sequence": row.sequence, "mac": row.mac.hex()}
        self._new_end, self._published, self._is_refused = end, log_records, True
        insert_rows(connection, rows)
        self._is_refused = False

    def is_refused_with(self, error: BaseException) -> bool:
        """Return whether the database has rejected the rows, if the transaction has failed with ``error``."""
        # The rows are the last writes of a transaction. They may wait for its commit, which then fails.
        return self._is_refused or (self._new_end is not None and is_of_waiting_write(error))

    def commit(self) -> list[logging.LogRecord]:
        """Make the last written row the end of the chain. Return the log records to publish."""
        if self._new_end is None:
            return []
        _chain_ends().end = self._new_end
        return self._published

    def abandon(self) -> None:
        """Begin a new chain with the next record, because these rows may or may not have been stored."""
        if self._new_end is not None:
            _chain_ends().end = None


@lru_cache(maxsize=1)
def _chain_ends() -> threading.local:
    """Return the storage in which each thread keeps the end of its chain."""
    return threading.local()


@before_snapshot
def _end_chains() -> None:
    """Begin new chains with the next records, because two environments must not continue the same chain."""
    _chain_ends.cache_clear()


def _event_of(log_record: logging.LogRecord) -> RecordedEvent:
    event = log_record.msg
    if not isinstance(event, RecordedEvent):
        raise TypeError("security_log accepts only security events")
    return event


def _startup(first: logging.LogRecord) -> RecordedEvent:
    """Return the event that begins a chain. It has no client and no path, because it belongs to the function."""
    event = _event_of(first)
    request = RequestContext(request_id=event.request.request_id, function=event.request.function)
    return RecordedEvent(name=SecurityEvent.SYS_STARTUP, time=event.time, request=request)


def _row(end: _ChainEnd, event: RecordedEvent, salts: Mapping[UUID | None, bytes | None]) -> AuditRow:
    user_id, source_ip = event.user_id, event.request.source_ip
    salt = salts[user_id] if user_id else None
    if user_id and not salt:
        # The user was erased. An access token may outlive the account for some minutes, without a trace of its client.
        source_ip = ""
    record = _record_json(event, salt)
    return AuditRow(
        chain_id=end.chain_id,
        sequence=end.length,
        time=event.time,
        name=event.name.value,
        outcome=event.outcome,
        severity=int(event.severity),
        user_id=event.user_id,
        source=source_index(source_ip) if source_ip else None,
        reason=event.reason,
        record=record,
        mac=chain_mac(previous=end.mac, chain_id=end.chain_id, sequence=end.length, record=record),
    )


def _record_json(event: RecordedEvent, salt: bytes | None) -> str:
    """Return the event as JSON with sorted names and without spaces, so that equal events give equal texts."""
    request = event.request
    document: dict[str, Any] = {
        "event": event.name.value,
        "time": event.time,
        "outcome": event.outcome,
        "severity": int(event.severity),
        "user_id": str(event.user_id) if event.user_id else None,
        "reason": event.reason,
        "request_id": request.request_id,
        "function": request.function,
        "method": request.method,
        "path": request.path,
        "detail": dict(event.detail),
    }
    personal = {name: value for name in ("source_ip", "user_agent") if (value := getattr(request, name))}
    if event.user_id is None:
        # No user is known who could ask for an erasure. The fields are deleted with the record.
        document["personal"] = personal
    elif salt and personal:
        document["sealed"] = seal_personal(personal, user_id=event.user_id, salt=salt)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))

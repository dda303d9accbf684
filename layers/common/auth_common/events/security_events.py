"""``security_event``: called at each decision that the security team wants to see.

An event passes through ``logging`` and becomes a log line (an OCSF event) and a metric of the same name. If the
function has a database, it also becomes a row of the audit log, by the handler of ``audit_log.writer``. Names are those
of OWASP's Logging Vocabulary, so that the rules of a SIEM read like its documentation. ``catalogue`` has the meaning of
each name.
"""

import logging
import time
from typing import Final
from uuid import UUID

from auth_common.events import metrics, request_context
from auth_common.events.logger import logger, redact
from auth_common.events.ocsf import to_ocsf
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.vocabulary import SecurityEvent

__all__ = ["SecurityEvent", "security_event"]


class PublishingHandler(logging.Handler):
    """The last handler: counts the metric and writes the log line, with what earlier handlers have added to it."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Publish the event without the lock of the base class. The handler that writes the line has its own lock."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Count the metric and write the log line."""
        metrics.count(str(record.msg))
        logger.registered_handler.handle(record)


#: The logger of security events. It is separate from the log, so that the log's level does not silence them.
security_log: Final = logging.getLogger("auth_common.security_events")
security_log.setLevel(logging.INFO)
security_log.propagate = False
#: The last handler. ``audit_log.writer.install_audit_writer`` puts the audit log's handler before it.
publishing_handler: Final = PublishingHandler()
security_log.handlers = [publishing_handler]


#: Stack frames from ``as_log_record`` to the caller of ``security_event``, whose place is the line's ``location``.
_FRAMES: Final = 3


def security_event(
    event: SecurityEvent,
    *,
    user_id: UUID | None = None,
    reason: str | None = None,
    **detail: str | int | list[str] | None,
) -> None:
    """Record ``event`` in the log (INFO for a success, WARNING for a failure), as a metric and in the audit log.

    Inside a ``transaction()`` the record of a success is committed or rolled back together with the change. The record
    of a failure is kept even if the transaction is rolled back.

    Args:
        event: The name of the event.
        user_id: The account, if it is known.
        reason: Why it happened, as a stable word for rules and charts. It never reaches the client.
        detail: Further fields, which ``CATALOGUE`` names. None is left out. Never pass a password, token, hash or
            challenge. They would be masked, but a value that is not passed cannot leak.

    Raises:
        DatabaseUnavailable: A success outside a transaction could not be recorded. For a failure nothing is raised,
            because a rejection is valid without its record.

    """
    operator = request_context.get().operator
    detail |= {"operator": operator} if operator else {}
    recorded = RecordedEvent(
        name=event,
        time=time.time_ns() // 1_000_000,
        user_id=user_id,
        reason=reason,
        detail=redact({name: value for name, value in detail.items() if value is not None}),
    )
    security_log.handle(as_log_record(recorded))


def as_log_record(event: RecordedEvent) -> logging.LogRecord:
    """Return a log record whose message is the event itself, so that each handler can read its fields.

    See "Using arbitrary objects as messages" in Python's Logging HOWTO.
    """
    level = logging.INFO if event.succeeded else logging.WARNING
    file, line, function, _ = security_log.findCaller(stacklevel=_FRAMES)
    extra = {"security_event": to_ocsf(event)}
    return security_log.makeRecord(security_log.name, level, file, line, event, (), None, function, extra)

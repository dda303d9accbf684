"""Security events: one call at each decision that the Security team wants to know about.

``security_event`` goes through ``logging`` and becomes a line in the log (an OCSF event) and a metric of the same name.
If the function has a database, it becomes a row of the audit log too, by the handler of ``audit_log.writer``. Names
are those of OWASP's Logging Vocabulary, so that a SIEM's rules read like its documentation. ``catalogue`` says what
each of them means.
"""

import logging
import time
from typing import Final
from uuid import UUID

from auth_common.events import metrics, request_context
from auth_common.events.logger import logger, redact
from auth_common.events.occurrence import Occurrence
from auth_common.events.ocsf import to_ocsf
from auth_common.events.vocabulary import SecurityEvent

__all__ = ["SecurityEvent", "security_event"]


class PublishingHandler(logging.Handler):
    """The last stage: counts the metric and writes the line, which carries what the handlers before it have added."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Publish the event without the base class's lock: the handler that writes the line has one."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Publish the event."""
        metrics.count(str(record.msg))
        logger.registered_handler.handle(record)


#: Where security events go. A logger of its own: a log level must not silence them.
security_log: Final = logging.getLogger("auth_common.security_events")
security_log.setLevel(logging.INFO)
security_log.propagate = False
#: The last handler. ``audit_log.writer.install_audit_writer`` puts the audit log's handler before it.
publishing_handler: Final = PublishingHandler()
security_log.handlers = [publishing_handler]


#: From ``as_log_record`` to the caller of ``security_event``: the line's ``location`` is where the decision was made.
_FRAMES: Final = 3


def security_event(
    event: SecurityEvent,
    *,
    user_id: UUID | None = None,
    reason: str | None = None,
    **detail: str | int | list[str] | None,
) -> None:
    """Record ``event``: in the log (INFO for a success, WARNING for a failure), as a metric, in the audit log.

    Inside a ``transaction()`` the event belongs to it: the record commits together with the change, and a change that
    is rolled back takes the record of its success along. The record of a failure stays.

    Args:
        event: what happened.
        user_id: the account that it happened to, where one is known.
        reason: why it failed, as a stable word for rules and charts. It never reaches the client.
        detail: further fields, those that ``CATALOGUE`` names. ``None`` is left out. Never a password, token, hash or
            challenge. They would be masked, but a value that is not passed cannot leak.

    Raises:
        DatabaseUnavailable: a success could not be recorded, outside a transaction. A refusal stands without its
            record. A success does not.

    """
    operator = request_context.get().operator
    detail |= {"operator": operator} if operator else {}
    occurrence = Occurrence(
        event=event,
        time=time.time_ns() // 1_000_000,
        user_id=user_id,
        reason=reason,
        detail=redact({name: value for name, value in detail.items() if value is not None}),
    )
    security_log.handle(as_log_record(occurrence))


def as_log_record(occurrence: Occurrence) -> logging.LogRecord:
    """Return ``occurrence`` as ``logging`` carries it.

    The message is the object itself (Python's Logging HOWTO, "Using arbitrary objects as messages"), so that each
    handler makes of it what it needs.
    """
    level = logging.INFO if occurrence.succeeded else logging.WARNING
    file, line, function, _ = security_log.findCaller(stacklevel=_FRAMES)
    extra = {"security_event": to_ocsf(occurrence)}
    return security_log.makeRecord(security_log.name, level, file, line, occurrence, (), None, function, extra)

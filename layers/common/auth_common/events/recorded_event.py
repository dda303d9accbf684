"""A security event that has happened, as the log, the metrics and the audit log receive it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from auth_common.events import request_context
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.request_context import RequestContext
from auth_common.events.vocabulary import SecurityEvent, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """A security event with its time, its account and its request. It contains no secret."""

    name: SecurityEvent
    #: Milliseconds since the epoch, as in OCSF.
    time: int
    #: The account, if it is known.
    user_id: UUID | None = None
    reason: str | None = None
    request: RequestContext = field(default_factory=request_context.get)
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the event is a success. All others are failures."""
        return CATALOGUE[self.name].succeeded

    @property
    def outcome(self) -> str:
        """``success`` or ``failure``."""
        return "success" if self.succeeded else "failure"

    @property
    def severity(self) -> Severity:
        """The severity of a single event of this name."""
        return CATALOGUE[self.name].severity

    def __str__(self) -> str:
        """Return the name, which is the message of the log line."""
        return self.name.value

"""A security event that has happened: what the log, the metrics and the audit log are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from auth_common.events import request_context
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.request_context import RequestContext
from auth_common.events.vocabulary import SecurityEvent, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """What happened, when, to whom, and in which request. Holds no secret."""

    event: SecurityEvent
    #: Milliseconds since the epoch, as in OCSF.
    time: int
    #: The account that it happened to, where one is known.
    user_id: UUID | None = None
    reason: str | None = None
    request: RequestContext = field(default_factory=request_context.get)
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether what was tried was done."""
        return CATALOGUE[self.event].succeeded

    @property
    def outcome(self) -> str:
        """``success`` or ``failure``."""
        return "success" if self.succeeded else "failure"

    @property
    def severity(self) -> Severity:
        """How much it matters, by itself."""
        return CATALOGUE[self.event].severity

    def __str__(self) -> str:
        """Return the name: the message of the log line."""
        return self.event.value

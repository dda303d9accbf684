"""Queries and responses of GET /audit/events and GET /audit/summary."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyAddress,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from auth_common.audit.reading import AuditRecord
from auth_common.audit_log.store import AuditQuery
from auth_common.events.client_ip import canonical_ip
from auth_common.events.vocabulary import SecurityEvent, Severity
from auth_common.field_types import Timestamp

SeverityName = Literal["informational", "low", "medium", "high", "critical"]

_Reason = Annotated[str, Field(max_length=60, pattern="^[a-z0-9_]+$")]

#: The longest time of a summary: two years.
_MAX_SUMMARY_SPAN = timedelta(days=732)


#: RFC 3339 with a zone, within the years that all clocks and databases can represent.
_Time = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))]


_Address = Annotated[
    IPvAnyAddress, WithJsonSchema({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AuditEventsQuery(_Query):
    """GET /audit/events?from=&to=&event=&outcome=&severity=&user_id=&ip=&reason=&except_reason=, all optional."""

    #: ``from`` is inclusive and ``to`` is exclusive.
    from_: Annotated[_Time | None, Field(alias="from")] = None
    to: _Time | None = None
    event: SecurityEvent | None = None
    outcome: Literal["success", "failure"] | None = None
    #: The lowest severity. More severe events match too.
    severity: SeverityName | None = None
    user_id: UUID | None = None
    ip: _Address | None = None
    reason: _Reason | None = None
    #: Events with this reason do not match. A page that polls leaves out its own readings with ``audit_log``.
    except_reason: _Reason | None = None
    #: Decoded by ``AuditCursor``.
    cursor: Annotated[str | None, Field(max_length=200)] = None

    def as_query(self) -> AuditQuery:
        """Return the query for the store."""
        return AuditQuery(
            from_=self.from_,
            to=self.to,
            event=self.event.value if self.event else None,
            outcome=self.outcome,
            severity=int(Severity[self.severity.upper()]) if self.severity else None,
            user_id=self.user_id,
            ip=canonical_ip(str(self.ip)) if self.ip else None,
            reason=self.reason,
            except_reason=self.except_reason,
        )


class AuditSummaryQuery(_Query):
    """GET /audit/summary?from=&to=, by default the last 24 hours."""

    to: Annotated[_Time, Field(default_factory=lambda: datetime.now(UTC))]
    from_: Annotated[_Time, Field(alias="from", default_factory=lambda data: data["to"] - timedelta(days=1))]

    @model_validator(mode="after")
    def _require_a_span(self) -> Self:
        if not timedelta(0) < self.to - self.from_ <= _MAX_SUMMARY_SPAN:
            message = "must be after from, by at most two years"
            raise ValueError(message)
        return self


def _utc_milliseconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


#: RFC 3339 in UTC with milliseconds, because the events of one request need an order.
_Moment = Annotated[
    datetime, PlainSerializer(_utc_milliseconds), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _severity_name(value: Any) -> Any:
    return Severity(value).name.lower() if isinstance(value, int) else value


class ChainResponse(BaseModel):
    """The place of a record in its chain, and whether the record is intact."""

    id: UUID
    sequence: Annotated[int, Field(examples=[17])]
    #: The HMAC-SHA-256 in hexadecimal, as in the log line of the event.
    mac: Annotated[str, Field(examples=["<64 hex digits>"])]
    intact: Annotated[bool, Field(examples=[True])]


class AuditRecordResponse(BaseModel):
    """A record of the audit log."""

    model_config = ConfigDict(from_attributes=True)

    #: The id of the chain, a dot, and the sequence.
    id: Annotated[str, Field(examples=["c2a4e6f8-1b3d-4f5a-8c7e-9d0b2f4a6c8e.17"])]
    time: _Moment
    event: Annotated[str, Field(examples=["authn_login_fail"])]
    outcome: Annotated[str, Field(examples=["failure"])]
    severity: Annotated[SeverityName, BeforeValidator(_severity_name), Field(examples=["low"])]
    user_id: UUID | None
    reason: Annotated[str | None, Field(examples=["wrong_password"])]
    source_ip: Annotated[str | None, Field(examples=["203.0.113.7"])]
    user_agent: Annotated[str | None, Field(examples=["Mozilla/5.0"])]
    function: Annotated[str, Field(examples=["login"])]
    method: Annotated[str, Field(examples=["POST"])]
    path: Annotated[str, Field(examples=["/login"])]
    request_id: Annotated[str, Field(examples=["0f6a2c9e-1b1d-4a3f-9a65-6b1f0f3c2d11"])]
    detail: dict[str, Any]
    #: Whether ``source_ip`` and ``user_agent`` were erased.
    erased: Annotated[bool, Field(examples=[False])]
    chain: ChainResponse

    @classmethod
    def from_record(cls, record: AuditRecord) -> Self:
        """Return the response for a record."""
        fields = {name: getattr(record, name) for name in AuditRecord.__dataclass_fields__ if name in cls.model_fields}
        chain = ChainResponse(id=record.chain_id, sequence=record.sequence, mac=record.mac.hex(), intact=record.intact)
        return cls(id=f"{record.chain_id}.{record.sequence}", chain=chain, **fields)


class AuditEventsResponse(BaseModel):
    """GET /audit/events."""

    items: list[AuditRecordResponse]
    next_cursor: Annotated[str | None, Field(examples=[None])]


class BarResponse(BaseModel):
    """The number of events of one name and outcome in one interval."""

    model_config = ConfigDict(from_attributes=True)

    start: Timestamp
    event: Annotated[str, Field(examples=["authn_login_fail"])]
    outcome: Annotated[str, Field(examples=["failure"])]
    count: Annotated[int, Field(examples=[3])]


class CountResponse(BaseModel):
    """A value and the number of its records. The value is null if it is unknown or erased."""

    model_config = ConfigDict(from_attributes=True)

    value: Annotated[str | None, Field(examples=["wrong_password"])]
    count: Annotated[int, Field(examples=[3])]


class AuditSummaryResponse(BaseModel):
    """GET /audit/summary."""

    model_config = ConfigDict(from_attributes=True)

    from_: Annotated[Timestamp, Field(serialization_alias="from", examples=["2026-01-30T09:30:00Z"])]
    to: Timestamp
    #: The length of an interval, in seconds.
    interval: Annotated[int, Field(examples=[300])]
    series: list[BarResponse]
    #: The most frequent values of failures.
    reasons: list[CountResponse]
    sources: Annotated[list[CountResponse], Field(examples=[[{"value": "203.0.113.7", "count": 3}]])]
    accounts: Annotated[
        list[CountResponse], Field(examples=[[{"value": "3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e", "count": 3}]])
    ]

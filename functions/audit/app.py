"""The audit log: GET /audit/events · GET /audit/summary.

Behind the authorizer, and for the roles ``security`` and ``admin`` alone, logged in with a passkey. Reading is an event
of the log itself.
"""

from typing import Annotated

from fastapi import Query

from auth_common.audit.reading import list_audit_records
from auth_common.audit.schemas import (
    AuditEventsQuery,
    AuditEventsResponse,
    AuditRecordResponse,
    AuditSummaryQuery,
    AuditSummaryResponse,
)
from auth_common.audit.summary import summarise_audit_log
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller
from auth_common.web.pagination import AuditCursor, encode_audit_cursor

app = create_app()


@app.get("/audit/events")
async def get_events(
    caller: Caller, query: Annotated[AuditEventsQuery, Query()], cursor: AuditCursor
) -> AuditEventsResponse:
    """Answer events, newest first, a page at a time; 403 without the role or without a passkey."""
    page = list_audit_records(caller, query.as_query(), before=cursor)
    return AuditEventsResponse(
        items=[AuditRecordResponse.of(record) for record in page.items],
        next_cursor=encode_audit_cursor(page.next_place),
    )


@app.get("/audit/summary")
async def get_summary(caller: Caller, query: Annotated[AuditSummaryQuery, Query()]) -> AuditSummaryResponse:
    """Answer how many events of each kind there were over time, and what the failures have in common."""
    return AuditSummaryResponse.model_validate(summarise_audit_log(caller, since=query.since, until=query.until))


handler = create_handler(app)

"""The audit log: GET /audit/events · GET /audit/summary.

Only a user with the role ``security`` or ``admin`` who logged in with a passkey may read it. Each reading is an audit
record itself.
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
from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import Forbidden, PasskeyLoginRequired
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller
from auth_common.web.endpoint import BEARER, endpoint
from auth_common.web.pagination import AuditCursor, encode_audit_cursor

app = create_app()
for_auditors = endpoint(access=BEARER, errors=(Forbidden, PasskeyLoginRequired))


@app.get("/audit/events", **for_auditors)
async def get_events(
    caller: Caller, query: Annotated[AuditEventsQuery, Query()], cursor: AuditCursor
) -> AuditEventsResponse:
    """Return audit records. The newest are first, 50 on a page.

    The caller needs the role `security` or `admin`, and a session of a login with a passkey that the account still has.
    """
    page = list_audit_records(caller, query.as_query(), before=cursor)
    return AuditEventsResponse(
        items=[AuditRecordResponse.from_record(record) for record in page.items],
        next_cursor=encode_audit_cursor(page.next_place),
    )


@app.get("/audit/summary", **for_auditors)
async def get_summary(caller: Caller, query: Annotated[AuditSummaryQuery, Query()]) -> AuditSummaryResponse:
    """Count events over time. Also return the most frequent reasons, client IPs and accounts of failures.

    The caller needs the role `security` or `admin`, and a session of a login with a passkey that the account still has.
    """
    return AuditSummaryResponse.model_validate(summarise_audit_log(caller, from_=query.from_, to=query.to))


install_audit_writer()
handler = create_handler(app)

"""Sessions: POST /logout · GET /sessions · DELETE /sessions · DELETE /sessions/{id}.

A caller sees and revokes their own sessions only. A revoked session is rejected at its next request, whatever policy
the gateway has cached.
"""

from typing import Annotated

from fastapi import Query, Response

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import NotFound, StepUpRequired
from auth_common.sessions.devices import name_device
from auth_common.sessions.schemas import SessionListResponse, SessionResponse
from auth_common.sessions.service import list_sessions, revoke_all_sessions, revoke_current_session, revoke_session
from auth_common.users.uuids import parse_uuid
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import CLEAR_SITE_DATA, Caller, PathId, StepUpToken, clear_storage
from auth_common.web.endpoint import BEARER, endpoint, success
from auth_common.web.pagination import SessionCursor, encode_cursor

app = create_app()
#: Only if the caller's own session is among the revoked ones.
MAY_CLEAR_STORAGE = success(204, {"Clear-Site-Data": CLEAR_SITE_DATA | {"required": False}})


@app.post(
    "/logout", status_code=204, responses=success(204, {"Clear-Site-Data": CLEAR_SITE_DATA}), **endpoint(access=BEARER)
)
async def log_out(caller: Caller, response: Response) -> None:
    """Revoke the caller's session."""
    revoke_current_session(caller)
    clear_storage(response)


@app.get("/sessions", **endpoint(access=BEARER))
async def get_sessions(caller: Caller, cursor: SessionCursor) -> SessionListResponse:
    """Return the caller's sessions. The newest are first, 50 on a page."""
    page = list_sessions(caller, before=cursor)
    return SessionListResponse(
        items=[
            SessionResponse(
                id=session.id,
                device=name_device(session.user_agent),
                ip=session.source_ip,
                created_at=session.auth_time,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                current=session.id == caller.session_id,
            )
            for session in page.items
        ],
        next_cursor=encode_cursor(page.next_position),
    )


@app.delete(
    "/sessions", status_code=204, responses=MAY_CLEAR_STORAGE, **endpoint(access=BEARER, errors=(StepUpRequired,))
)
async def delete_sessions(
    caller: Caller,
    response: Response,
    keep_current: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
    step_up_token: StepUpToken = None,
) -> None:
    """Revoke the caller's sessions. With `keep_current=true`, revoke the other ones. A step-up token is needed."""
    revoke_all_sessions(caller, keep_current=keep_current, step_up_token=step_up_token)
    if not keep_current:
        clear_storage(response)


@app.delete(
    "/sessions/{id}",
    status_code=204,
    responses=MAY_CLEAR_STORAGE,
    **endpoint(access=BEARER, errors=(StepUpRequired, NotFound)),
)
async def delete_session(
    caller: Caller, session_id: PathId, response: Response, step_up_token: StepUpToken = None
) -> None:
    """Revoke one of the caller's sessions. A step-up token is needed for another session than the current one."""
    revoke_session(caller, session_id, step_up_token=step_up_token)
    if parse_uuid(session_id) == caller.session_id:
        clear_storage(response)


install_audit_writer()
handler = create_handler(app)

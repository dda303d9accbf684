"""What the process of schemathesis knows beside the document: who calls, what passes, what every answer must have."""

import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response
from schemathesis.generation.meta import CoverageScenario, coverage_scenario

from auth_common.web.application import SECURITY_HEADERS
from tests.support.callers import Caller, caller_with_role
from tests.support.factories import PASSWORD, registration
from tests.support.functions import OPTIONAL_PROBLEM_MEMBERS, PROBLEM_MEMBERS

#: Who calls the protected routes; set by test_openapi.py.
WHO = os.environ["FUZZ_WHO"]
CLIENT = httpx.Client(base_url=os.environ["FUZZ_URL"], timeout=60)
STEP_UP_TOKEN = "Step-Up-Token"
#: What ends the caller's session, or may.
ENDING = {"log_out", "delete_sessions", "delete_session", "delete_passkey"}

# What the document calls by a name, and cannot define.
schemathesis.openapi.format("password", st.just(PASSWORD) | st.text(st.characters(codec="utf-8"), min_size=15))
schemathesis.openapi.format("email", st.from_regex(r"[a-z0-9]{1,20}@[a-z0-9]{1,10}\.example\.com", fullmatch=True))


def operation_id(case: Case[Any]) -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


if WHO != "nobody":
    CALLER = caller_with_role("admin", CLIENT, Path(os.environ["FUZZ_DATA"])) if WHO == "admin" else Caller(CLIENT)

    @schemathesis.auth(refresh_interval=None)
    class Session:
        """The session of the caller."""

        def get(self, _case: Case[Any], _context: AuthContext) -> dict[str, str]:
            return CALLER.headers()

        def set(self, case: Case[Any], data: dict[str, str], _context: AuthContext) -> None:
            case.headers.update(data)
            # A token that is made up stays, so both answers are seen.
            if any(header.name == STEP_UP_TOKEN for header in case.operation.headers):
                case.headers.setdefault(STEP_UP_TOKEN, CALLER.step_up_headers()[STEP_UP_TOKEN])

    @schemathesis.hook
    def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
        # A session ends, and in a long run its token expires, or its login is too old for a step-up.
        sent = response.request.headers.items()
        has_ended = response.status_code == 401 and sent >= CALLER.headers().items()
        has_ended |= response.status_code == 403 and sent >= CALLER.step_up_headers().items()
        if has_ended or (operation_id(case) in ENDING and response.status_code == 204):
            CALLER.forget_session()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Let some people register: hardly any that is made up may, and nothing follows a refusal."""
    if operation_id(case) == "register" and isinstance(case.body, dict) and case.body.get("password") == PASSWORD:
        case.body = registration(email=f"{uuid4()}@example.com")


@schemathesis.check
def one_contract(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Hold any answer, the gateway's own too, to what all of them share."""
    assert all(response.headers[name.lower()] for name in SECURITY_HEADERS)
    (request_id,) = response.headers["x-request-id"]
    assert request_id == str(UUID(request_id))
    if response.status_code >= 400 and response.request.method != "HEAD":
        problem = response.json()
        assert problem.keys() - OPTIONAL_PROBLEM_MEMBERS == PROBLEM_MEMBERS
        assert ("methods" in problem) == (problem["code"] == "step_up_required")
        assert (problem["status"], problem["request_id"]) == (response.status_code, request_id)
    if coverage_scenario(case) == CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        assert response.status_code == 404

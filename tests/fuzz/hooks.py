"""Hooks of schemathesis: the caller of protected routes, valid values, and checks of every response.

tests/fuzz/test_documented_responses.py starts schemathesis with these hooks.
"""

import os
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import schemathesis
from hypothesis import strategies as st
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response
from schemathesis.generation.meta import CoverageScenario, coverage_scenario

from auth_common.web.headers import SECURITY_HEADERS
from tests.support.callers import Caller, caller_with_role
from tests.support.factories import PASSWORD, registration
from tests.support.functions import OAUTH_ERROR_MEMBERS, OPTIONAL_PROBLEM_MEMBERS, PROBLEM_MEMBERS

#: The caller of the protected routes: "anonymous", "user" or "admin".
CALLER_KIND = os.environ["FUZZ_CALLER"]
CLIENT = httpx.Client(base_url=os.environ["FUZZ_URL"], timeout=60)
STEP_UP_TOKEN = "Step-Up-Token"
#: The routes whose errors have the form of RFC 6749.
OAUTH_PATHS = {"/token", "/revoke", "/introspect"}
#: The operations that may revoke the caller's session. A login does so if it carries the caller's access token.
REVOKING_OPERATIONS = {"log_out", "delete_sessions", "delete_session", "delete_passkey", "login", "complete_login"}

# Generators for the formats of the document. schemathesis draws from them until a value has the length that it wants
# to send, and gives up after hundreds of draws, which took most of its time. So there are passwords at the limits of
# the document, and an address takes a single choice.
_AT_LIMITS = [(PASSWORD * 40)[:length] for limit in (15, 256, 1024) for length in (limit - 1, limit, limit + 1)]
schemathesis.openapi.format(
    "password",
    st.just(PASSWORD) | st.text(st.characters(codec="utf-8"), min_size=15) | st.sampled_from(_AT_LIMITS),
)
schemathesis.openapi.format(
    "email", st.integers(0, 36**20).map(lambda number: f"{number:x}@{number % 36**6:x}.example.com")
)


def operation_id(case: Case[Any]) -> str:
    name: str = case.operation.definition.raw["operationId"]
    return name


if CALLER_KIND != "anonymous":
    IS_ADMIN = CALLER_KIND == "admin"
    CALLER = caller_with_role("admin", CLIENT, Path(os.environ["FUZZ_DATA"])) if IS_ADMIN else Caller(CLIENT)

    @schemathesis.auth(refresh_interval=None)
    class Session:
        """Adds the caller's access token and step-up token to requests."""

        def get(self, _case: Case[Any], _context: AuthContext) -> dict[str, str]:
            return CALLER.headers()

        def set(self, case: Case[Any], data: dict[str, str], _context: AuthContext) -> None:
            case.headers.update(data)
            # A generated step-up token stays, so that requests with and without a valid one are sent.
            if any(header.name == STEP_UP_TOKEN for header in case.operation.headers):
                case.headers.setdefault(STEP_UP_TOKEN, CALLER.step_up_headers()[STEP_UP_TOKEN])

    @schemathesis.hook
    def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
        # The session may be revoked. In a long run the access token or the step-up token also expires.
        sent = response.request.headers.items()
        is_rejected = response.status_code == 401 and sent >= CALLER.headers().items()
        is_rejected |= response.status_code == 403 and sent >= CALLER.step_up_headers().items()
        if is_rejected or (operation_id(case) in REVOKING_OPERATIONS and response.status_code < 300):
            CALLER.forget_session()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Replace some generated registrations by valid ones, because most generated ones are rejected."""
    if operation_id(case) == "register" and isinstance(case.body, dict) and case.body.get("password") == PASSWORD:
        case.body = registration(email=f"{uuid4()}@example.com")


@schemathesis.check
def one_contract(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Check what every response has in common, also the gateway's own responses."""
    assert all(response.headers[name.lower()] for name in SECURITY_HEADERS)
    (request_id,) = response.headers["x-request-id"]
    assert request_id == str(UUID(request_id))
    if response.status_code >= 400 and response.request.method != "HEAD":
        problem = response.json()
        assert problem["request_id"] == request_id
        if problem.keys() == OAUTH_ERROR_MEMBERS:
            assert case.operation.path in OAUTH_PATHS
        else:
            assert problem.keys() - OPTIONAL_PROBLEM_MEMBERS == PROBLEM_MEMBERS
            assert ("methods" in problem) == (problem["code"] == "step_up_required")
            assert problem["status"] == response.status_code
    if coverage_scenario(case) == CoverageScenario.UNSPECIFIED_HTTP_METHOD:
        is_preflight = response.request.method == "OPTIONS"
        assert response.status_code == (204 if is_preflight else 404)

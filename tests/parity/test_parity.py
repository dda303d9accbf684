"""The local runtime returns the same responses as `sam local start-api`, except where SAM differs from AWS."""

from typing import Final

import pytest

from tests.parity.scenario import run_scenario
from tests.support.runtime import running_service

pytestmark = pytest.mark.local_runtime

_NO_GATEWAY_RESPONSES: Final = "SAM ignores GatewayResponses, so its own responses have AWS's default status and body"
_DENY_IS_403: Final = f"{_NO_GATEWAY_RESPONSES}; a Deny, which the template maps to 401, stays 403"
_TEXT_ONLY: Final = "SAM fails to decode a body that is not UTF-8; API Gateway replaces the invalid bytes"

#: The steps in which SAM differs from AWS, with SAM's status and the reason. In all others the responses are equal.
DIFFERENCES: Final = {
    "invalid UTF-8": (502, _TEXT_ONLY),
    "binary body": (502, _TEXT_ONLY),
    "encoded slashes": (403, _NO_GATEWAY_RESPONSES),
    "get a user without a token": (401, _NO_GATEWAY_RESPONSES),
    "get a user with a bad token": (403, _DENY_IS_403),
    "get a user with basic authentication": (403, _DENY_IS_403),
    "unknown route": (403, _NO_GATEWAY_RESPONSES),
    "wrong method": (403, _NO_GATEWAY_RESPONSES),
    "trailing slash": (
        404,
        "SAM invokes the function, whose 404 has another Content-Security-Policy than the gateway's",
    ),
}


@pytest.mark.sam
@pytest.mark.xdist_group("sam")
def test_local_runtime_and_sam_return_the_same_responses(tmp_path, sam):
    with running_service(tmp_path / "local") as url:
        local = run_scenario(url)
    under_sam = run_scenario(sam.url)

    differing = {name: under_sam[name].status for name, response in local.items() if response != under_sam[name]}

    # Compared for equality, so that an outdated entry fails, too.
    assert differing == {name: status for name, (status, _) in DIFFERENCES.items()}


def test_local_runtime_returns_no_5xx_and_always_a_request_id(tmp_path):
    with running_service(tmp_path) as url:
        responses = run_scenario(url)

    assert {name: response.status for name, response in responses.items() if response.status >= 500} == {}
    assert [name for name, response in responses.items() if not response.has_request_id] == []
    problems = {name: response for name, response in responses.items() if response.status >= 400}
    assert {response.headers["content-type"] for response in problems.values()} == {"application/problem+json"}

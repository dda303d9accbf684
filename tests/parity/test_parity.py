"""The local runtime answers like the real `sam local start-api`, but where SAM itself differs from AWS."""

from typing import Final

import pytest

from tests.parity.scenario import converse
from tests.support.runtime import running_service

pytestmark = pytest.mark.local_runtime

_NO_GATEWAY_RESPONSES: Final = "SAM ignores GatewayResponses, so its own answers have AWS's default status and body"
_DENY_IS_403: Final = f"{_NO_GATEWAY_RESPONSES}; a Deny, which the template maps to 401, stays 403"
_TEXT_ONLY: Final = "SAM reads a body that is no UTF-8 as text and fails; API Gateway replaces what it cannot read"

#: Each step in which SAM differs from AWS, with SAM's status and the reason. What is not here agrees, headers included.
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
        "SAM lets it through, so the function refuses it, which spells its policy for browsers out",
    ),
}


@pytest.mark.sam
@pytest.mark.xdist_group("sam")
def test_both_ways_of_serving_give_the_same_answers(tmp_path, sam):
    with running_service(tmp_path / "local") as url:
        local = converse(url)
    under_sam = converse(sam.url)

    differing = {name: under_sam[name].status for name, answer in local.items() if answer != under_sam[name]}

    # Equal, so an entry that is not true any more fails as well.
    assert differing == {name: status for name, (status, _) in DIFFERENCES.items()}


def test_no_answer_of_the_local_runtime_is_a_server_error_and_all_are_marked(tmp_path):
    with running_service(tmp_path) as url:
        answers = converse(url)

    assert {name: answer.status for name, answer in answers.items() if answer.status >= 500} == {}
    assert [name for name, answer in answers.items() if not answer.has_request_id] == []
    problems = {name: answer for name, answer in answers.items() if answer.status >= 400}
    assert {answer.headers["content-type"] for answer in problems.values()} == {"application/problem+json"}

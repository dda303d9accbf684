"""Custom resources: only CloudFormation can make their functions work, for their own stack."""

import pytest

from auth_common.web.custom_resources import ForeignEvent, create_custom_resource_handler
from tests.support.custom_resources import (
    RESPONSE_HOST,
    STACK_ID,
    custom_resource_event,
    deployed_by_cloudformation,
)
from tests.support.events import lambda_context

pytestmark = [pytest.mark.deployment, pytest.mark.operations]

BUCKET = "cloudformation-custom-resource-response"
#: URLs of an attacker that look like CloudFormation's, or that lead to a server which the function can reach.
FOREIGN_URLS = [
    *("", None, ["https://x"], "response", "file:///etc/passwd", "https://attacker.example/response"),
    # The runtime API of Lambda, which takes the function's responses, and the metadata of EC2.
    *("http://127.0.0.1:9001/2018-06-01/runtime/init/error", "http://169.254.169.254/latest/api/token"),
    RESPONSE_HOST.replace("https", "http") + "/response",
    f"{RESPONSE_HOST}.attacker.example/response",
    f"{RESPONSE_HOST}:8443/response",
    f"{RESPONSE_HOST}@attacker.example/response",
    f"https://attacker.example\\@{RESPONSE_HOST.removeprefix('https://')}/response",
    f"{RESPONSE_HOST}/response\r\nX-Header: 1",
    f" {RESPONSE_HOST}/response",
    RESPONSE_HOST,
    RESPONSE_HOST.replace("amazonaws.com", "amazonaws.com.cn") + "/response",
    RESPONSE_HOST.replace("amazonaws", "amazonawsXcom") + "/response",
    # Other buckets: an attacker's own, and CloudFormation's in another region.
    "https://attacker.s3.eu-central-1.amazonaws.com/response",
    f"https://s3.eu-central-1.amazonaws.com/{BUCKET}-eucentral1/response",
    f"https://{BUCKET}-useast1.s3.us-east-1.amazonaws.com/response",
]


def stack_in(partition, region):
    return f"arn:{partition}:cloudformation:{region}:123456789012:stack/auth/7b1c"


@pytest.fixture
def provided():
    return []


@pytest.fixture
def handler(provided):
    def provide(properties):
        provided.append(properties)
        return {}

    return create_custom_resource_handler(provide)


@pytest.mark.asvs("1.3.6", "13.2.4")
@pytest.mark.threat("deployment-custom-resource-call")
@pytest.mark.parametrize("url", FOREIGN_URLS)
def test_response_url_of_an_attacker_gets_no_request(handler, provided, log_lines, url):
    with deployed_by_cloudformation() as received, pytest.raises(ForeignEvent, match="response URL"):
        handler(custom_resource_event(url=url), lambda_context("migrate"))
    assert (provided, received) == ([], [])
    assert "rejected an event" in log_lines.text
    assert "attacker" not in log_lines.text


@pytest.mark.threat("deployment-custom-resource-call")
@pytest.mark.parametrize("request_type", ["Create", "Update", "Delete"])
@pytest.mark.parametrize(
    "own_stack",
    [STACK_ID.replace("stack/auth/", "stack/other/"), f"{STACK_ID}9", STACK_ID.replace("123456789012", "1" * 12), None],
)
def test_event_of_another_stack_is_rejected(handler, provided, own_stack, request_type):
    with deployed_by_cloudformation(own_stack) as received, pytest.raises(ForeignEvent, match="not from this stack"):
        handler(custom_resource_event(request_type), lambda_context("migrate"))
    assert (provided, received) == ([], [])


@pytest.mark.threat("deployment-custom-resource-call")
def test_event_without_a_stack_is_rejected(handler, provided):
    event = custom_resource_event()
    del event["StackId"]
    with deployed_by_cloudformation(None) as received, pytest.raises(ForeignEvent, match="not from this stack"):
        handler(event, lambda_context("migrate"))
    assert (provided, received) == ([], [])


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "us-east-1", f"{BUCKET}-useast1.s3.amazonaws.com"),
        ("aws", "us-east-1", f"{BUCKET}-useast1.s3.us-east-1.amazonaws.com"),
        ("aws", "eu-west-1", f"{BUCKET}-euwest1.s3-eu-west-1.amazonaws.com"),
        ("aws-us-gov", "us-gov-west-1", f"{BUCKET}-usgovwest1.s3.us-gov-west-1.amazonaws.com"),
        ("aws-cn", "cn-north-1", f"{BUCKET}-cnnorth1.s3.cn-north-1.amazonaws.com.cn"),
        ("aws-eusc", "eusc-de-east-1", f"{BUCKET}-euscdeeast1.s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_bucket_of_each_partition_gets_the_response(handler, provided, partition, region, host):
    """Presigned URLs of public examples, and of the documented rule: the region without dashes."""
    own_stack = stack_in(partition, region)
    event = custom_resource_event(url=f"https://{host}/arn%3Aaws%7CSchema%7C1?X-Amz-Signature=0a&X-Amz-Expires=7200")
    with deployed_by_cloudformation(own_stack) as received:
        handler({**event, "StackId": own_stack}, lambda_context("migrate"))
    assert [response["Status"] for response in received] == ["SUCCESS"]
    assert len(provided) == 1

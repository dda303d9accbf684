"""Custom resources: CloudFormation calls a function during a deployment, and waits for its response at a URL.

Always send a response, even on failure. Otherwise the deployment waits until the resource's ``ServiceTimeout``. The
response ``FAILED`` rolls the stack back.

Each identity with ``lambda:InvokeFunction`` can send such an event. So the handler rejects an event of another stack,
and a response URL that is not CloudFormation's. Then it sends no response.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeAlias
from urllib.request import Request, urlopen

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import LambdaHandler, observed
from auth_common.events.logger import logger
from auth_common.settings import Stack, own_stack

Provider: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, str]]

_SEND_TIMEOUT_SECONDS: Final = 10
_TRIES: Final = 3
_SECONDS_BETWEEN_TRIES: Final = 5.0

#: The end of S3's host names in each partition that has Aurora DSQL or may get it (AWS General Reference, "Endpoints").
_DOMAINS: Final[Mapping[str, str]] = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
}


class ForeignEvent(Exception):
    """The event of a custom resource is not from CloudFormation, or from another stack."""


def create_custom_resource_handler(provide: Provider) -> LambdaHandler:
    """Return the Lambda handler of a custom resource. ``provide`` maps the resource's properties to its attributes.

    ``provide`` runs when the resource is created or its properties change, at most three times. It must be safe to run
    again. It does not run when the resource is deleted, because other resources own what it has made.

    The handler adds the attribute ``Digest``, which changes with each property. Another resource that refers to it is
    updated after this one.

    The handler raises ``ForeignEvent`` for an event of another stack or with another response URL.
    """

    @observed
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        _require_own_event(event)
        response: dict[str, Any] = {
            # The id never changes. After a new id CloudFormation would delete "the old resource".
            "PhysicalResourceId": event.get("PhysicalResourceId") or event["LogicalResourceId"],
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
        try:
            properties = event["ResourceProperties"]
            attributes = {} if event["RequestType"] == "Delete" else _try(provide, properties, context, tries=_TRIES)
            response |= {"Status": "SUCCESS", "Data": {**attributes, "Digest": _digest(properties)}}
        except Exception:  # noqa: BLE001 - CloudFormation waits for a response
            logger.exception("a custom resource failed")
            # The details are in the log only, because more users can read the events of a stack.
            reason = f"See the log stream {context.log_stream_name}, request {context.aws_request_id}"
            response |= {"Status": "FAILED", "Reason": reason}
        _send(response, to=event["ResponseURL"])
        return {"status": response["Status"]}

    return handler


def _require_own_event(event: Mapping[str, Any]) -> None:
    stack = own_stack()
    if stack is None or event.get("StackId") != stack.arn:
        reason = "the event is not from this stack"
    elif not _is_response_url(event.get("ResponseURL"), stack):
        reason = "the response URL is not CloudFormation's"
    else:
        return
    # Neither value is logged, because an attacker chose them.
    logger.error("a custom resource rejected an event", extra={"reason": reason})
    raise ForeignEvent(reason)


def _is_response_url(url: object, stack: Stack) -> bool:
    """Return whether ``url`` is an object in CloudFormation's bucket for responses, in the region of ``stack``.

    The bucket's name is in the CloudFormation User Guide, "Considerations for CloudFormation VPC endpoints". S3 accepts
    its host name with and without the region, after a dot or a dash.
    """
    bucket = f"cloudformation-custom-resource-response-{stack.region.replace('-', '')}"
    host = rf"{re.escape(bucket)}\.s3(?:[.-]{re.escape(stack.region)})?\.{re.escape(_DOMAINS[stack.partition])}"
    # A URL has no white space and no control characters, which urllib would remove or send.
    return isinstance(url, str) and re.fullmatch(rf"https://{host}/[!-~]*", url) is not None


def _try(provide: Provider, properties: Mapping[str, Any], context: LambdaContext, *, tries: int) -> Mapping[str, str]:
    before = context.get_remaining_time_in_millis()
    try:
        return provide(properties)
    except Exception:
        # The next try may take as long as this one, and then the response has to be sent.
        needed = 1_000 * (_SECONDS_BETWEEN_TRIES + _SEND_TIMEOUT_SECONDS)
        left = 2 * context.get_remaining_time_in_millis() - before - needed
        if tries == 1 or left < 0:
            raise
        logger.warning("a custom resource is tried again", exc_info=True)
    # IAM may reject a new role for some seconds.
    time.sleep(_SECONDS_BETWEEN_TRIES)
    return _try(provide, properties, context, tries=tries - 1)


def _digest(properties: Mapping[str, Any]) -> str:
    return sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()


def _send(response: Mapping[str, Any], *, to: str) -> None:
    # The signature of this presigned S3 URL is for a request without a content type.
    request = Request(to, data=json.dumps(response).encode(), method="PUT", headers={"Content-Type": ""})  # noqa: S310
    with urlopen(request, timeout=_SEND_TIMEOUT_SECONDS):  # noqa: S310 - the handler has checked the URL
        pass

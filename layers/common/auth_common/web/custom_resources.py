"""Custom resources: CloudFormation calls a function during a deployment, and waits for its response at a URL.

Always send a response, even on failure. Otherwise the deployment waits until the resource's ``ServiceTimeout``. The
response ``FAILED`` rolls the stack back.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import json
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeAlias
from urllib.request import Request, urlopen

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import LambdaHandler, observed
from auth_common.events.logger import logger

Provider: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, str]]

_SEND_TIMEOUT_SECONDS: Final = 10
_TRIES: Final = 3
_SECONDS_BETWEEN_TRIES: Final = 5.0


def create_custom_resource_handler(provide: Provider) -> LambdaHandler:
    """Return the Lambda handler of a custom resource. ``provide`` maps the resource's properties to its attributes.

    ``provide`` runs when the resource is created or its properties change, at most three times. It must be safe to run
    again. It does not run when the resource is deleted, because other resources own what it has made.

    The handler adds the attribute ``Digest``, which changes with each property. Another resource that refers to it is
    updated after this one.
    """

    @observed
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
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
    with urlopen(request, timeout=_SEND_TIMEOUT_SECONDS):  # noqa: S310 - only CloudFormation may invoke the function
        pass

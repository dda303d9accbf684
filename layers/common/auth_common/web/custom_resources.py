"""Custom resources: CloudFormation calls a function in the middle of a deployment, and waits for word at a URL.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html. Whatever happens, word must be sent: a
deployment that gets none waits for as long as the resource's ``ServiceTimeout`` says. A failure is word, too, and rolls
the stack back to what it was.
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

#: Seconds.
_TIMEOUT: Final = 10
#: How often a resource is tried to be made, and the seconds in between.
_TRIES: Final = 3
_PAUSE: Final = 5.0


def create_custom_resource_handler(provide: Provider) -> LambdaHandler:
    """Return a handler that makes a resource's attributes by ``provide``, which gets its properties.

    One more attribute is ``Digest``, which changes when any property does: for what CloudFormation cannot compare.

    ``provide`` runs when the resource is made and when its properties change, also twice for one change, so it must be
    safe to run again. When the resource is deleted, nothing is done: what it made belongs to others.
    """

    @observed
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        word: dict[str, Any] = {
            # One id for ever: another one would let CloudFormation delete "the old resource" after an update.
            "PhysicalResourceId": event.get("PhysicalResourceId") or event["LogicalResourceId"],
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
        try:
            properties = event["ResourceProperties"]
            attributes = {} if event["RequestType"] == "Delete" else _try(provide, properties, context, tries=_TRIES)
            word |= {"Status": "SUCCESS", "Data": {**attributes, "Digest": _digest(properties)}}
        except Exception:  # noqa: BLE001 - whatever it is, word must be sent
            logger.exception("a custom resource failed")
            # No more than this: the events of a stack are read by more people than its log.
            reason = f"See the log stream {context.log_stream_name}, request {context.aws_request_id}"
            word |= {"Status": "FAILED", "Reason": reason}
        _send(word, to=event["ResponseURL"])
        return {"status": word["Status"]}

    return handler


def _try(provide: Provider, properties: Mapping[str, Any], context: LambdaContext, *, tries: int) -> Mapping[str, str]:
    before = context.get_remaining_time_in_millis()
    try:
        return provide(properties)
    except Exception:
        # As long again, and there must be time for the word.
        left = 2 * context.get_remaining_time_in_millis() - before - 1_000 * (_PAUSE + _TIMEOUT)
        if tries == 1 or left < 0:
            raise
        logger.warning("a custom resource is tried again", exc_info=True)
    # IAM may refuse a role that has just been made for some seconds.
    time.sleep(_PAUSE)
    return _try(provide, properties, context, tries=tries - 1)


def _digest(properties: Mapping[str, Any]) -> str:
    return sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()


def _send(word: Mapping[str, Any], *, to: str) -> None:
    # A presigned URL of S3, whose signature is for a request without a content type.
    request = Request(to, data=json.dumps(word).encode(), method="PUT", headers={"Content-Type": ""})  # noqa: S310
    with urlopen(request, timeout=_TIMEOUT):  # noqa: S310 - CloudFormation's URL; nobody else may call the function
        pass

"""One invocation, observed: what every Lambda handler of ours has around it."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events import metrics, request_context
from auth_common.events.logger import logger

LambdaHandler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def observed(handle: LambdaHandler) -> LambdaHandler:
    """Wrap a handler: each log line carries the request id, and the request's metrics are written when it is over."""

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        request = request_context.describe_request(event, context)
        entered = request_context.enter(request)
        logger.append_keys(request_id=request.request_id)
        try:
            with metrics.written_for(request.function):
                return handle(event, context)
        finally:
            request_context.leave(entered)

    return handler

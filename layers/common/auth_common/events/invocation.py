"""The wrapper around every Lambda handler: request context, log fields and metrics of one invocation."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events import metrics, request_context
from auth_common.events.logger import logger
from auth_common.settings import learn_issuer

LambdaHandler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def observed(handle: LambdaHandler) -> LambdaHandler:
    """Wrap ``handle`` so that each log line has the request id, and the metrics are written after the request."""

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        learn_issuer(event.get("stageVariables"))
        with metrics.collect_and_write(context.function_name):
            request = request_context.describe_request(event, context)
            entered = request_context.enter(request)
            logger.append_keys(request_id=request.request_id)
            try:
                return handle(event, context)
            finally:
                request_context.leave(entered)

    return handler

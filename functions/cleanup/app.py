"""Clean-up, on a schedule: rows that nobody can use any more are deleted, in bounded batches."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.invocation import observed
from auth_common.operations.cleanup import delete_expired


@observed
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer how many rows went (EventBridge Scheduler ignores it; whoever runs it by hand does not)."""
    return {"deleted": delete_expired()}

"""The clean-up, on a schedule: delete expired rows in bounded batches."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.audit_log.writer import install_audit_writer
from auth_common.events.invocation import observed
from auth_common.operations.cleanup import delete_expired

install_audit_writer()


@observed
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Return the number of deleted rows of each kind, for an operator who invokes the function by hand."""
    return {"deleted": delete_expired()}

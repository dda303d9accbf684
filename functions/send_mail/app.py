"""The sender of mails, on a schedule and after each request that queues a mail."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.audit_log.writer import install_audit_writer
from auth_common.events.invocation import observed
from auth_common.mail.sender import send_due_mails

install_audit_writer()


@observed
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the number of attempts by their result, for an operator who invokes the function by hand."""
    return {"attempts": send_due_mails(lambda: context.get_remaining_time_in_millis() / 1000)}

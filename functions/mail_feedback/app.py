"""Bounces and complaints of Amazon SES, which EventBridge delivers."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.audit_log.writer import install_audit_writer
from auth_common.events.invocation import observed
from auth_common.mail.feedback import record_feedback

install_audit_writer()


@observed
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Record one event. An exception makes Lambda repeat the invocation, and raises an alarm."""
    record_feedback(event)
    return {}

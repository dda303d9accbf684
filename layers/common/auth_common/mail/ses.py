"""The transport Amazon SES (API version 2)."""

import re
from email.message import EmailMessage
from typing import Any, Final

from auth_common.aws_calls import call_aws, error_code
from auth_common.errors import ServiceUnavailable
from auth_common.mail.mime import sender_address
from auth_common.mail.transports import MailDeferred, MailRefused
from auth_common.settings import settings

#: Seconds to wait for the response.
SECONDS: Final = 10
#: What SES returns if this message can never be sent. Further codes, such as that of a sender who is not verified, are
#: faults of the account or of the stack. They end, and then the mail can be sent.
_PERMANENT_CODES: Final = frozenset({"BadRequestException", "MessageRejected"})


class AmazonSes:
    """Sends by SES, from the identity and with the configuration set of the stack."""

    def send(self, message: EmailMessage, *, recipient: str) -> str | None:
        """Send a message, and return SES's message id, which its events on bounces and complaints repeat.

        Raises:
            MailRefused: SES rejects the message.
            MailDeferred: SES throttles, is unavailable, or does not send for this stack at the moment.

        """
        # Without it the events of this mail would reach no rule.
        configuration_set = settings().ses_configuration_set
        request: dict[str, Any] = {"ConfigurationSetName": configuration_set} if configuration_set else {}
        try:
            response = call_aws(
                "sesv2",
                "send_email",
                # SES may have sent a mail although its response is late or lost, and has no idempotency keys.
                tries=1,
                timeout=SECONDS,
                FromEmailAddress=sender_address().addr_spec,
                Destination={"ToAddresses": [recipient]},
                Content={"Raw": {"Data": message.as_bytes()}},
                **request,
            )
        except ServiceUnavailable as error:
            code = error_code(error)
            if code in _PERMANENT_CODES:
                raise MailRefused(_reason(code)) from error
            raise MailDeferred(_reason(code)) from error
        return str(response["MessageId"])


def _reason(code: str | None) -> str:
    """Return AWS's code of an error in snake case, such as ``ses_message_rejected``."""
    return "ses" + re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", code or "Unavailable")

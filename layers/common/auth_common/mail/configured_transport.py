"""The transport that the settings choose."""

from auth_common.mail.transports import MailDeferred, Transport
from auth_common.settings import settings


def configured_transport() -> Transport:
    """Return the transport of the settings. Only this transport is imported.

    Raises:
        MailDeferred: No mail is configured.
        Misconfigured, ServiceUnavailable: The URL of the SMTP server is not valid, or cannot be read.

    """
    chosen = settings().chosen_transport()
    if chosen == "ses":
        from auth_common.mail.ses import AmazonSes  # noqa: PLC0415

        return AmazonSes()
    if chosen == "smtp":
        from auth_common.mail.smtp import Smtp, SmtpServer  # noqa: PLC0415

        return Smtp(SmtpServer.from_settings())
    if chosen == "mailbox":
        from auth_common.mail.mailbox import Mailbox  # noqa: PLC0415

        return Mailbox(settings().storage() / "mail")
    raise MailDeferred("mail_not_configured")

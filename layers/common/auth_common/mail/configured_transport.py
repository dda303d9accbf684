"""The transport that the settings choose."""

from auth_common.mail.transports import MailDeferred, Transport
from auth_common.settings import settings


def configured_transport() -> Transport:
    """Return the transport of the settings. Only this transport is imported.

    Raises:
        MailDeferred: No mail is configured.

    """
    if settings().chosen_transport() == "mailbox":
        from auth_common.mail.mailbox import Mailbox  # noqa: PLC0415

        return Mailbox(settings().storage() / "mail")
    raise MailDeferred("mail_not_configured")

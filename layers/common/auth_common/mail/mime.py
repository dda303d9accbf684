"""The MIME message of a mail: plain text and HTML, without anything that is loaded or tracked."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import UUID

from auth_common.mail.rendering import RenderedMail
from auth_common.settings import settings

#: The sender in the local mailbox, which needs no settings.
_LOCAL_SENDER: Final = "no-reply@localhost"


def build_message(mail: RenderedMail, *, recipient: str, mail_id: UUID, now: datetime) -> EmailMessage:
    """Return the message to ``recipient``.

    The package ``email`` rejects line breaks in headers, so no value can add a header.

    Args:
        mail: The rendered mail.
        recipient: A normalised address, which is ASCII (``users.email_address``).
        mail_id: The mail's id. It makes the Message-ID, so two copies of a mail that was sent twice have the same one.
        now: The time of the header Date, with a zone.

    """
    sender = sender_address()
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{mail_id}@{sender.domain}>"
    # Vacation notices and other robots must not reply (RFC 3834 section 5, and Microsoft's own header).
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    # Quoted-printable keeps lines short. A server that breaks long lines would invalidate the DKIM signature.
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


def sender_address() -> Address:
    """Return the sender of all mails: ``MAIL_FROM`` with the name ``MAIL_FROM_NAME``."""
    return Address(settings().mail_from_name, addr_spec=settings().mail_from or _LOCAL_SENDER)

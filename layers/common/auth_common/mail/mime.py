"""The MIME message of a mail."""

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from auth_common.mail.rendering import RenderedMail


def build_message(mail: RenderedMail, *, recipient: str, mail_id: UUID, now: datetime) -> EmailMessage:
    """Return the message to ``recipient``."""
    message = EmailMessage(policy=SMTP)
    message["To"] = recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{mail_id}@localhost>"
    message.set_content(mail.text)
    return message

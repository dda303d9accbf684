"""The local mailbox: each mail is a file in the data folder of the ``local`` stage, and never leaves the machine."""

import secrets
import time
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from auth_common.errors import ServiceUnavailable
from auth_common.keys.local_secrets import write_atomically
from auth_common.mail.transports import MailDeferred


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The transport that writes each message to ``folder``."""

    folder: Path

    def send(self, message: EmailMessage, *, recipient: str) -> None:  # noqa: ARG002 - required by the protocol
        """Write the message to a new ``.eml`` file, which readers see only when it is complete.

        The files' names are in the order of their times. Two attempts to send a mail make two files.

        Raises:
            MailDeferred: The file cannot be written.

        """
        name = f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
        try:
            write_atomically(self.folder / name, message.as_bytes())
        except ServiceUnavailable as error:
            raise MailDeferred("mailbox_not_writable") from error

"""What a transport is: a way in which a mail leaves the service. ``configured_transport`` chooses one."""

from email.message import EmailMessage
from typing import Final, Protocol

#: Seconds within which each transport must return or raise, so that a sender's lease outlives its attempt.
MAX_SECONDS: Final = 30


class MailNotSent(Exception):
    """The mail was not sent.

    ``reason`` is a stable word in snake_case, which is logged. It never contains the provider's text, in which the
    address may be.
    """

    def __init__(self, reason: str) -> None:
        """Store the reason."""
        super().__init__(reason)
        self.reason = reason


class MailRefused(MailNotSent):
    """The provider rejects the mail for good, so it must not be sent again."""


class MailDeferred(MailNotSent):
    """A later attempt may succeed."""


class Transport(Protocol):
    """A way to send mail."""

    def send(self, message: EmailMessage, *, recipient: str) -> str | None:
        """Send a message, and return the provider's id of it. Return None if the provider gives none.

        Raises:
            MailRefused: The provider rejects the mail for good.
            MailDeferred: A later attempt may succeed.

        """
        ...

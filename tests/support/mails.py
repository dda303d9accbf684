"""Queue mails, send them, and read what was sent."""

import email
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from auth_common.database.privileges import MAIL_ROLE
from auth_common.database.tables import mails
from auth_common.mail import sender
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.outbox import queue_mail
from auth_common.transactions import transaction
from functions.send_mail.app import handler
from tests.support import leaks
from tests.support.databases import Database, acting_as
from tests.support.events import lambda_context
from tests.support.factories import EMAIL

#: The values of all variables of all kinds. The first two are secrets.
VALUES = {
    "token": "a-token-of-a-link-in-a-mail",
    "undo_token": "another-token-of-a-link-in-a-mail",
    "code": "K7Q2M9XR",
    "time": "2026-11-30T08:00:00Z",
    "device": "Firefox on Linux",
    "client_ip": "203.0.113.7",
    "further_logins": "0",
}


def queue(kind: MailKind = MailKind.VERIFY_EMAIL, *, user_id: UUID | str | None = None, recipient: str = EMAIL) -> None:
    """Queue a mail in a transaction of its own. The test fails if its address or a secret is in the output."""
    variables = {name: VALUES[name] for name in MAIL_RULES[kind].variables}
    leaks.remember(recipient, *(VALUES[name] for name in ("token", "undo_token", "code")))
    user = UUID(user_id) if isinstance(user_id, str) else user_id
    transaction(
        lambda connection: queue_mail(
            connection, kind, recipient=recipient, user_id=user, locale="en", variables=variables
        )
    )


def send_mails(*, timeout: float = 900) -> dict[str, int]:
    """Run the function that sends mails. Return the number of attempts by their result."""
    with acting_as(MAIL_ROLE):
        attempts: dict[str, int] = handler({}, lambda_context("send_mail", timeout=timeout))["attempts"]
    return attempts


def mailbox(folder: Path) -> list[EmailMessage]:
    """Return the mails in the local mailbox of a data folder, the oldest first."""
    files = sorted((folder / "mail").glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]


def only_mail(database: Database) -> Any:
    """Return the only row of the table of mails."""
    (row,) = database.execute(select(mails))
    return row


def make_due(database: Database) -> None:
    """Let the pauses and leases of all queued mails end now."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(mails).where(mails.c.next_attempt_at.is_not(None)).values(next_attempt_at=past))


class FakeTransport:
    """A transport that calls ``behave`` for each message, and keeps those for which it returns."""

    def __init__(self, behave: Callable[[], str | None] = lambda: None) -> None:
        self.behave = behave
        self.sent: list[EmailMessage] = []

    def send(self, message: EmailMessage, *, recipient: str) -> str | None:
        """Send a message."""
        assert message["To"] == recipient
        provider_id = self.behave()
        self.sent.append(message)
        return provider_id

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "FakeTransport":
        """Make the sender use this transport."""
        monkeypatch.setattr(sender, "configured_transport", lambda: self)
        return self

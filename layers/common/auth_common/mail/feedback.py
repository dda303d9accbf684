"""Bounces and complaints, which Amazon SES reports through EventBridge.

A permanent bounce suppresses the address: it gets no mail, because a provider suspends senders who go on. A complaint
stops the notices of logins and lockouts. What the user asks for, such as a password reset, is still sent, and so is
what the user must learn, such as a change of the password (``MailRules.is_essential``).

The report of a bounce is written by the server of the recipient. An attacker who has a mail server could name a
victim's address in it. So the only address that is suppressed is the one to which SES has sent the mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.store import record_bounce, select_sent_mail
from auth_common.mail.suppression_store import suppress_address
from auth_common.settings import settings
from auth_common.transactions import transaction
from auth_common.users.email_address import normalise_email


class InvalidFeedback(ValueError):
    """The event is not a bounce or complaint about a mail of this stack. The message contains nothing of the event."""


class Reason(StrEnum):
    """What was reported, as in the event ``mail_bounced``."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    COMPLAINT = "complaint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A report about one mail."""

    reason: Reason
    #: SES's id of the mail.
    provider_message_id: str
    #: The address to which SES sent it, normalised.
    recipient: str


def record_feedback(event: Mapping[str, Any]) -> None:
    """Suppress the address of a bounce or complaint, and record a security event.

    EventBridge may deliver an event twice. The second one changes nothing, but it is recorded.

    Args:
        event: The event of EventBridge.

    Raises:
        InvalidFeedback: The event has another shape, or comes from another configuration set.
        DatabaseUnavailable: Lambda repeats the invocation.

    """
    feedback = parse_feedback(event)
    if feedback is not None:
        transaction(lambda connection: _record(connection, feedback))


def parse_feedback(event: Mapping[str, Any]) -> Feedback | None:
    """Return the report in an event of EventBridge. Return None if it says that a mail is no spam.

    Raises:
        InvalidFeedback: As for ``record_feedback``.

    """
    match event:
        case {
            "source": "aws.ses",
            "detail-type": "Email Bounced" | "Email Complaint Received",
            "detail": {
                "mail": {
                    "messageId": str(provider_message_id),
                    # Each mail of this service has one recipient.
                    "destination": [str(recipient)],
                    "tags": {"ses:configuration-set": [str(configuration_set)]},
                },
                **report,
            },
        }:
            pass
        case _:
            raise InvalidFeedback("an event has another shape than SES's bounces and complaints")
    if configuration_set != settings().ses_configuration_set:
        raise InvalidFeedback("an event is about another configuration set")
    try:
        email = normalise_email(recipient)
    except ValueError:
        raise InvalidFeedback("an event has no valid recipient") from None
    reason = _reason(report)
    if reason is None:
        return None
    return Feedback(reason=reason, provider_message_id=provider_message_id, recipient=email)


def _reason(report: Mapping[Any, Any]) -> Reason | None:
    match report:
        case {"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}}:
            return Reason.PERMANENT
        # SES does not know why the mail was not delivered (Undetermined), or has given up after its last try.
        case {"eventType": "Bounce", "bounce": {"bounceType": "Transient" | "Undetermined"}}:
            return Reason.TRANSIENT
        # The user has moved the mail out of the folder for spam.
        case {"eventType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}}:
            return None
        case {"eventType": "Complaint", "complaint": {}}:
            return Reason.COMPLAINT
        case _:
            raise InvalidFeedback("an event is neither a bounce nor a complaint")


def _record(connection: Connection, feedback: Feedback) -> None:
    now = datetime.now(UTC)
    # After this time one more mail is tried, because mailboxes are opened again.
    expires_at = now + timedelta(days=settings().audit_retention_days)
    if feedback.reason is Reason.PERMANENT:
        suppress_address(connection, email=feedback.recipient, bounced_at=now, expires_at=expires_at)
    elif feedback.reason is Reason.COMPLAINT:
        suppress_address(connection, email=feedback.recipient, complained_at=now, expires_at=expires_at)
    # None: the report came before the sender's record, or after the clean-up.
    find = select_sent_mail if feedback.reason is Reason.COMPLAINT else record_bounce
    mail = find(connection, provider_message_id=feedback.provider_message_id)
    security_event(
        SecurityEvent.MAIL_BOUNCED,
        user_id=mail.user_id if mail else None,
        reason=feedback.reason,
        target=str(mail.id) if mail else None,
        mail_kind=mail.kind if mail else None,
    )

"""The bounce rate: many mails to addresses that do not exist pause the mail to addresses that were never verified.

A provider suspends a sender whose mails bounce too often: Amazon SES reviews an account at 5 %. Then no user gets a
mail. An attacker who registers invented addresses can cause that. The pause costs new users their verification for up
to a day, and keeps the password resets and the notices of all verified users (docs/decisions/0029).
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection

from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.pause_store import begin_pause, end_pause, select_pause
from auth_common.mail.store import has_sent_mails
from auth_common.mail.suppression_store import count_bounced_addresses
from auth_common.transactions import read, transaction

#: The bounces of this time are compared with the mails of this time.
WINDOW: Final = timedelta(days=1)
#: Bounces of a sample that is too small to be a rate.
MIN_BOUNCES: Final = 5
#: The pause begins when more of a hundred mails bounce.
MAX_PERCENT: Final = 3


class _Review(NamedTuple):
    is_paused: bool
    bounced: int
    is_too_high: bool


def is_paused_by_bounces() -> bool:
    """Return whether mail to never verified addresses is paused. Begin or end the pause if the rate has changed."""
    now = datetime.now(UTC)
    review = read(lambda connection: _review(connection, now))
    if review.is_too_high != review.is_paused:
        transaction(lambda connection: _change(connection, review, now))
    return review.is_too_high


def resume_mail() -> bool:
    """End the pause for an operator. Bounces from before do not begin another one. Return whether mail was paused."""

    def resume(connection: Connection) -> bool:
        is_ended = end_pause(connection, now=datetime.now(UTC))
        if is_ended:
            security_event(SecurityEvent.MAIL_RESUMED, reason="by_operator")
        return is_ended

    return transaction(resume)


def _review(connection: Connection, now: datetime) -> _Review:
    pause = select_pause(connection)
    since = now - WINDOW
    if pause and pause.resumed_at:
        since = max(since, pause.resumed_at)
    bounced = count_bounced_addresses(connection, since=since)
    enough = math.ceil(bounced * 100 / MAX_PERCENT)
    is_too_high = bounced >= MIN_BOUNCES and not has_sent_mails(connection, enough, since=since)
    return _Review(pause is not None and pause.resumed_at is None, bounced, is_too_high)


def _change(connection: Connection, review: _Review, now: datetime) -> None:
    if review.is_paused:
        if end_pause(connection, now=now):
            security_event(SecurityEvent.MAIL_RESUMED, reason="rate_fell")
    elif begin_pause(connection, now=now):
        security_event(SecurityEvent.MAIL_PAUSED, bounced=review.bounced)

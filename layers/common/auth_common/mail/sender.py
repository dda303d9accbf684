"""Send the mails that are due: lease a mail, send it, and record the outcome.

Two senders never send the same mail, because a lease is a conditional update. A sender that crashes, or loses the
database, between sending and recording leaves the lease behind. After the lease has ended, the mail is sent a second
time, since a mail twice is better than none. If that outcome is not recorded either, the mail is given up. So a mail is
sent at most twice.

A mail for which the hour has no room (``hourly_limit``) or that is paused (``bounce_rate``) waits.

The address, the texts and the variables of a mail are secrets. Log lines and events contain the mail's id and kind, and
reasons in words of this service.
"""

import math
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from auth_common.audit_log.salt_store import select_salts
from auth_common.errors import Misconfigured
from auth_common.events import metrics
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.bounce_rate import is_paused_by_bounces
from auth_common.mail.configured_transport import configured_transport
from auth_common.mail.hourly_limit import NoRoom, Room, require_room, whole_hour
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.mime import build_message
from auth_common.mail.rendering import render
from auth_common.mail.sealing import MailContent, open_mail
from auth_common.mail.store import (
    LeasedMail,
    MailState,
    has_due_mail,
    lease_mail,
    record_outcome,
    record_retry,
    select_due_mails,
)
from auth_common.mail.suppression_store import select_suppression
from auth_common.mail.transports import MAX_SECONDS, MailDeferred, MailRefused
from auth_common.transactions import read, transaction

#: Longer than the timeout of the function ``send_mail`` (template.yaml), so that no sender sends after its lease.
LEASE: Final = timedelta(minutes=3)
#: With the pauses below, attempts end after 13 hours. Most mails expire earlier.
MAX_ATTEMPTS: Final = 12
#: Attempts without a recorded outcome after which a mail is given up. Each of them may have sent it.
MAX_UNRECORDED_ATTEMPTS: Final = 2
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=3)
#: A mail may be this much younger than the sender's clock says, because clocks differ.
_CLOCK_LEEWAY: Final = timedelta(seconds=5)
#: Counted for each attempt to send a mail that is older than ``OVERDUE_AFTER``, and for a run that leaves such a mail.
OVERDUE_METRIC: Final = "mail_overdue"
OVERDUE_AFTER: Final = timedelta(minutes=15)
#: The kinds that a complaint stops.
_STOPPED_BY_COMPLAINT: Final = frozenset(
    kind.value for kind, rules in MAIL_RULES.items() if rules.is_notice and not rules.is_essential
)
_TO_UNVERIFIED: Final = tuple(kind for kind, rules in MAIL_RULES.items() if rules.is_to_unverified)
#: Mails that are looked up at once.
BATCH_MAILS: Final = 50
#: Seconds that one attempt takes at most, with its two transactions.
_SECONDS_PER_ATTEMPT: Final = MAX_SECONDS + 15


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """The outcome of one attempt."""

    #: The final state. ``QUEUED``: a later attempt may succeed.
    state: MailState
    #: Why the mail was not sent: of the event for a final state, and of the log line for ``QUEUED``.
    reason: str | None = None
    #: The transport's reason.
    cause: str | None = None
    provider_message_id: str | None = None


def send_due_mails(seconds_left: Callable[[], float] = lambda: math.inf) -> dict[str, int]:
    """Send the mails that are due and for which the hour has room, essential ones first.

    Return the number of attempts by their result.

    The results are ``sent``, ``failed`` (given up), ``queued`` (a later attempt may succeed) and ``discarded``
    (a decoy, or the address is suppressed).

    Args:
        seconds_left: returns the seconds until this run must end. No attempt begins that could take longer.

    Raises:
        DatabaseUnavailable: the database is unavailable. Mails that wait are sent by a later run.

    """
    results: Counter[str] = Counter()
    room = whole_hour(_now())
    while due := _choose_mails(room):
        for mail_id in due:
            if seconds_left() < _SECONDS_PER_ATTEMPT:
                return dict(results)
            try:
                state = _attempt(mail_id)
            except NoRoom as error:
                # Choose again, because the hour may have no room for more of these mails.
                room = error.room
                break
            if state:
                results[state] += 1
    return dict(results)


def _choose_mails(room: Room) -> list[UUID]:
    """Return the next mails to send. If there is none although mails wait, log and count that.

    Args:
        room: what the hour had room for when a mail had none.

    """
    now = _now()
    due = now + _CLOCK_LEEWAY
    if not read(lambda connection: has_due_mail(connection, due=due)):
        return []
    paused = _TO_UNVERIFIED if is_paused_by_bounces() else ()

    def choose(connection: Connection) -> tuple[list[UUID], bool]:
        chosen = select_due_mails(
            connection, due=due, shares=room.shares, paused=paused, of_account=room.of_account, limit=BATCH_MAILS
        )
        # Only a limit or a pause leaves mails behind.
        return chosen, not chosen and has_due_mail(connection, due=due, created_before=now - OVERDUE_AFTER)

    chosen, is_late = read(choose)
    if is_late:
        metrics.count(OVERDUE_METRIC)
        logger.warning("mails wait, because of the limit of an hour or a pause", extra={"paused": bool(paused)})
    return chosen


def _attempt(mail_id: UUID) -> MailState | None:
    """Lease, send and record one mail. Return its state, or None if another sender has leased it.

    Raises:
        NoRoom: the hour has no room for it. The lease is rolled back.

    """
    lease = uuid4()
    leased = transaction(lambda connection: _lease(connection, mail_id, lease))
    if leased is None:
        return None
    mail, content, is_suppressed = leased
    if _now() - mail.created_at > OVERDUE_AFTER:
        metrics.count(OVERDUE_METRIC)
    outcome = _send(mail, content, is_suppressed=is_suppressed)
    is_recorded = transaction(lambda connection: _record(connection, mail, lease, outcome))
    if not is_recorded:
        logger.warning("the lease of a mail had ended before its outcome was recorded", extra=_names(mail))
        return None
    if outcome.state is MailState.QUEUED:
        logger.warning("a mail was not sent yet", extra={**_names(mail), "reason": outcome.reason})
    return outcome.state


def _lease(connection: Connection, mail_id: UUID, lease: UUID) -> tuple[LeasedMail, MailContent | None, bool] | None:
    """Return the leased mail, its content if it can be read, and whether its address is suppressed."""
    now = _now()
    due = now + _CLOCK_LEEWAY
    mail = lease_mail(connection, mail_id=mail_id, lease=lease, now=now, due=due, leased_until=now + LEASE)
    if mail is None:
        return None
    if mail.expires_at > due:
        require_room(connection, kind=mail.kind, user_id=mail.user_id, now=now)
    content = _open(connection, mail)
    return mail, content, content is not None and _is_suppressed(connection, mail, content.recipient)


def _open(connection: Connection, mail: LeasedMail) -> MailContent | None:
    if mail.user_id is None:
        return open_mail(mail.sealed, mail_id=mail.id, salt=None)
    salt = select_salts(connection, user_ids=[mail.user_id]).get(mail.user_id)
    return open_mail(mail.sealed, mail_id=mail.id, salt=salt) if salt else None


def _is_suppressed(connection: Connection, mail: LeasedMail, recipient: str) -> bool:
    """Return whether the address bounces, or its user has complained and the mail is not essential (``feedback``)."""
    found = select_suppression(connection, email=recipient, now=_now())
    return found is not None and (found.bounced_at is not None or mail.kind in _STOPPED_BY_COMPLAINT)


def _send(mail: LeasedMail, content: MailContent | None, *, is_suppressed: bool) -> _Outcome:
    if mail.expires_at <= _now() + _CLOCK_LEEWAY:
        return _Outcome(state=MailState.FAILED, reason="expired")
    if mail.unrecorded_attempts > MAX_UNRECORDED_ATTEMPTS:
        return _Outcome(state=MailState.FAILED, reason="outcome_unknown")
    if content is None:
        return _Outcome(state=MailState.FAILED, reason="unreadable")
    if not content.recipient:
        return _Outcome(state=MailState.DISCARDED)
    if is_suppressed:
        logger.info("a mail was discarded, because its address is suppressed", extra=_names(mail))
        return _Outcome(state=MailState.DISCARDED)
    return _try_transport(mail, content)


def _try_transport(mail: LeasedMail, content: MailContent) -> _Outcome:
    try:
        provider_message_id = _hand_over(mail, content)
    except MailRefused as error:
        return _Outcome(state=MailState.FAILED, reason="refused", cause=error.reason)
    except MailDeferred as error:
        cause = error.reason
    except Misconfigured as error:
        # The message names a setting or a file of the deployer, and contains nothing of the mail.
        logger.error("a mail could not be sent", extra={**_names(mail), "error": str(error)})
        cause = "misconfigured"
    except Exception as error:  # noqa: BLE001 - a fault in one mail must not keep the others from being sent
        # The message of the exception may contain the address or a value. The stack has only lines of code.
        stack = traceback.format_tb(error.__traceback__)
        logger.error("a mail could not be sent", extra={**_names(mail), "error": type(error).__name__, "stack": stack})
        cause = "internal_error"
    else:
        return _Outcome(state=MailState.SENT, provider_message_id=provider_message_id)
    if mail.attempts >= MAX_ATTEMPTS:
        return _Outcome(state=MailState.FAILED, reason="attempts_used_up", cause=cause)
    return _Outcome(state=MailState.QUEUED, reason=cause)


def _hand_over(mail: LeasedMail, content: MailContent) -> str | None:
    """Give the mail to the transport, and return the provider's id of it."""
    rendered = render(MailKind(mail.kind), locale=content.locale, variables=content.variables)
    message = build_message(rendered, recipient=content.recipient, mail_id=mail.id, now=_now())
    return configured_transport().send(message, recipient=content.recipient)


def _record(connection: Connection, mail: LeasedMail, lease: UUID, outcome: _Outcome) -> bool:
    """Record the outcome and its security event. Return False, and record nothing, if the lease was lost."""
    if outcome.state is MailState.QUEUED:
        pause = min(_FIRST_PAUSE * 2 ** (mail.attempts - 1), _LONGEST_PAUSE)
        # At its expiry the mail is due too, so that its content is wiped.
        next_attempt_at = min(_now() + pause, mail.expires_at)
        return record_retry(connection, mail_id=mail.id, lease=lease, next_attempt_at=next_attempt_at)
    is_recorded = record_outcome(
        connection,
        mail_id=mail.id,
        lease=lease,
        state=outcome.state,
        provider_message_id=outcome.provider_message_id,
    )
    if is_recorded and outcome.state is not MailState.DISCARDED:
        security_event(
            SecurityEvent.MAIL_SENT if outcome.state is MailState.SENT else SecurityEvent.MAIL_FAILED,
            user_id=mail.user_id,
            reason=outcome.reason,
            target=str(mail.id),
            mail_kind=mail.kind,
            cause=outcome.cause,
            attempts=mail.attempts,
        )
    return is_recorded


def _names(mail: LeasedMail) -> dict[str, str | int]:
    return {"mail": str(mail.id), "mail_kind": mail.kind, "attempts": mail.attempts}


def _now() -> datetime:
    return datetime.now(UTC)

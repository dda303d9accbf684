"""The table of mails."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, and_, case, delete, func, or_, select, update

from auth_common.database.pipeline import write_later
from auth_common.database.tables import as_row, mails
from auth_common.mail.kinds import MAIL_RULES, MailKind, MailShare

#: The longest time for which sent mails are counted (``hourly_limit``, ``bounce_rate``).
_COUNTED_FOR: Final = timedelta(days=1)


class MailState(StrEnum):
    """The states of a mail. All except ``QUEUED`` are final, and the content of a mail in a final state is wiped."""

    QUEUED = "queued"
    #: The provider has accepted it.
    SENT = "sent"
    FAILED = "failed"
    #: The provider has accepted it, and reported later that it cannot be delivered.
    BOUNCED = "bounced"
    #: It was a decoy, or its address is suppressed.
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMail:
    """A new mail."""

    id: UUID
    kind: MailKind
    #: The account. None: a mail without an account.
    user_id: UUID | None
    #: Recipient and variables (``sealing``).
    sealed: bytes
    created_at: datetime
    next_attempt_at: datetime
    #: After this time the mail is not worth sending.
    expires_at: datetime
    state: MailState = MailState.QUEUED
    attempts: int = 0
    unrecorded_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedMail:
    """A mail that one sender may send."""

    id: UUID
    #: A ``MailKind``, or a kind of a newer version of the service.
    kind: str
    user_id: UUID | None
    sealed: bytes
    created_at: datetime
    expires_at: datetime
    #: All attempts, this one included.
    attempts: int
    #: The latest attempts whose outcome is unknown, this one included.
    unrecorded_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """A mail that the provider has accepted."""

    id: UUID
    kind: str
    user_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """What an operator may know of a mail. It contains neither the address nor a link or a code."""

    id: UUID
    kind: str
    #: A ``MailState``.
    state: str
    created_at: datetime
    sent_at: datetime | None


class AccountLimit(NamedTuple):
    """A limit of essential mails to one account."""

    since: datetime
    number: int


_INSERT: Final = mails.insert()
_FACTS: Final = tuple(mails.c[name] for name in MailFacts.__dataclass_fields__)
_LEASED_COLUMNS: Final = tuple(mails.c[name] for name in LeasedMail.__dataclass_fields__)

_SENT_COLUMNS: Final = tuple(mails.c[name] for name in SentMail.__dataclass_fields__)

_KINDS: Final[Mapping[MailShare, list[str]]] = {
    share: [kind.value for kind, rules in MAIL_RULES.items() if rules.share is share] for share in MailShare
}
#: A kind of a newer version of the service is the last.
_SHARE: Final = case(
    *((mails.c.kind.in_(kinds), share.value) for share, kinds in _KINDS.items() if share is not MailShare.OPEN),
    else_=MailShare.OPEN.value,
)

_IS_ESSENTIAL: Final = mails.c.kind.in_(_KINDS[MailShare.ESSENTIAL])


def insert_mail(connection: Connection, mail: QueuedMail) -> None:
    """Store a mail."""
    write_later(connection, _INSERT, as_row(mail))


def select_due_mails(
    connection: Connection,
    *,
    due: datetime,
    shares: Collection[MailShare],
    paused: Collection[MailKind],
    of_account: Collection[AccountLimit],
    limit: int,
) -> list[UUID]:
    """Return the ids of up to ``limit`` mails that may be sent now, in the order of shares, the longest overdue first.

    Expired mails are always returned, so that their content is wiped.

    Args:
        connection: to read with.
        due: the time at which the next attempt of a mail must be due.
        shares: the shares that have room. They are the first ones (``hourly_limit.Room``).
        paused: kinds that are not sent now.
        of_account: an account that has reached one of these limits gets no further essential mails.
        limit: the maximum number of ids.

    """
    is_allowed = and_(
        _SHARE.between(0, max(shares, default=-1)),
        *(mails.c.kind != kind.value for kind in paused),
        *(
            or_(~_IS_ESSENTIAL, mails.c.user_id.is_(None), mails.c.user_id.not_in(_at_limit(each)))
            for each in of_account
        ),
    )
    found = select(mails.c.id).where(mails.c.next_attempt_at <= due, or_(mails.c.expires_at <= due, is_allowed))
    return list(connection.scalars(found.order_by(_SHARE, mails.c.next_attempt_at).limit(limit)))


def _at_limit(limit: AccountLimit) -> Select[tuple[UUID]]:
    """Return the query for the accounts that have reached a limit of essential mails."""
    earlier = mails.alias()
    return (
        select(earlier.c.user_id)
        .where(earlier.c.sent_at > limit.since, earlier.c.kind.in_(_KINDS[MailShare.ESSENTIAL]))
        .where(earlier.c.user_id.is_not(None))
        .group_by(earlier.c.user_id)
        .having(func.count() >= limit.number)
    )


def count_sent_mails(connection: Connection, *, since: datetime) -> dict[MailShare, int]:
    """Return the number of mails that were sent since a time, or are being sent, by share."""
    counted = select(_SHARE.label("share"), func.count()).where(mails.c.sent_at > since).group_by("share")
    return {MailShare(share): number for share, number in connection.execute(counted)}


def count_essential_mails_of(connection: Connection, *, user_id: UUID, since: datetime) -> int:
    """Return the number of essential mails of an account that were sent since a time, or are being sent."""
    counted = select(func.count()).where(mails.c.user_id == user_id, mails.c.sent_at > since, _IS_ESSENTIAL)
    return connection.execute(counted).scalar_one()


def has_sent_mails(connection: Connection, number: int, *, since: datetime) -> bool:
    """Return whether at least ``number`` mails were sent since a time. No more rows are read."""
    sent = select(mails.c.id).where(mails.c.sent_at > since).limit(number).subquery()
    counted: int = connection.execute(select(func.count()).select_from(sent)).scalar_one()
    return counted >= number


def has_due_mail(connection: Connection, *, due: datetime, created_before: datetime | None = None) -> bool:
    """Return whether the next attempt of a mail is due. With ``created_before``, of a mail that was queued earlier."""
    found = select(mails.c.id).where(mails.c.next_attempt_at <= due)
    if created_before is not None:
        found = found.where(mails.c.created_at < created_before)
    return connection.execute(found.limit(1)).one_or_none() is not None


def select_newest_mails(connection: Connection, *, user_id: UUID, limit: int) -> list[MailFacts]:
    """Return what an operator may know of an account's mails, the newest first."""
    newest = select(*_FACTS).where(mails.c.user_id == user_id).order_by(mails.c.created_at.desc()).limit(limit)
    return [MailFacts(**row) for row in connection.execute(newest).mappings()]


def lease_mail(
    connection: Connection, *, mail_id: UUID, lease: UUID, now: datetime, due: datetime, leased_until: datetime
) -> LeasedMail | None:
    """Lease a mail whose next attempt is due, so that no other sender sends it until ``leased_until``.

    From now on the mail counts as sent. ``record_retry`` and ``record_outcome`` correct that.

    Return None if another sender was faster. Aurora DSQL rejects the second lease at its commit, and the retry of the
    transaction then returns None.
    """
    leased = (
        update(mails)
        .where(mails.c.id == mail_id, mails.c.next_attempt_at <= due)
        .values(
            lease=lease,
            next_attempt_at=leased_until,
            sent_at=now,
            attempts=mails.c.attempts + 1,
            unrecorded_attempts=mails.c.unrecorded_attempts + 1,
        )
        .returning(*_LEASED_COLUMNS)
    )
    row = connection.execute(leased).mappings().one_or_none()
    return LeasedMail(**row) if row else None


def record_retry(connection: Connection, *, mail_id: UUID, lease: UUID, next_attempt_at: datetime) -> bool:
    """End a lease, and schedule the next attempt. Return False, and change nothing, if the lease was lost."""
    values = {"lease": None, "next_attempt_at": next_attempt_at, "unrecorded_attempts": 0, "sent_at": None}
    return _end_lease(connection, mail_id, lease, values)


def record_outcome(
    connection: Connection, *, mail_id: UUID, lease: UUID, state: MailState, provider_message_id: str | None = None
) -> bool:
    """End a lease with a final state, and wipe the content. Return False, and change nothing, if the lease was lost.

    Args:
        connection: to write with.
        mail_id: the mail.
        lease: the lease under which the outcome was found.
        state: the final state.
        provider_message_id: the provider's id of the mail, with which a bounce is reported later.

    """
    values: dict[str, Any] = {"lease": None, "next_attempt_at": None, "sealed": None}
    values |= {"state": state.value, "provider_message_id": provider_message_id}
    if state is not MailState.SENT:
        values["sent_at"] = None
    return _end_lease(connection, mail_id, lease, values)


def record_bounce(connection: Connection, *, provider_message_id: str) -> SentMail | None:
    """Set the state ``BOUNCED``, and return the mail. Return None if no mail has the provider's id."""
    bounced = (
        update(mails)
        .where(mails.c.provider_message_id == provider_message_id)
        .values(state=MailState.BOUNCED.value)
        .returning(*_SENT_COLUMNS)
    )
    row = connection.execute(bounced).mappings().one_or_none()
    return SentMail(**row) if row else None


def select_sent_mail(connection: Connection, *, provider_message_id: str) -> SentMail | None:
    """Return the mail that has the provider's id. Return None if there is none."""
    found = select(*_SENT_COLUMNS).where(mails.c.provider_message_id == provider_message_id)
    row = connection.execute(found).mappings().one_or_none()
    return SentMail(**row) if row else None


def delete_some_mails(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Delete up to ``limit`` mails of a user. Return how many.

    Of a mail that was sent within a day, kind and time stay without the user. Otherwise an attacker could replace
    accounts again and again, so that the limit of an hour and the bounce rate count fewer mails than were sent.
    """
    of_user = select(mails.c.id).where(mails.c.user_id == user_id)
    is_counted = (mails.c.sent_at > datetime.now(UTC) - _COUNTED_FOR, mails.c.sealed.is_(None))
    forget = update(mails).where(mails.c.id.in_(of_user.where(*is_counted).limit(limit)))
    forgotten = connection.execute(forget.values(user_id=None, provider_message_id=None)).rowcount
    chosen = of_user.limit(limit - forgotten)
    return forgotten + connection.execute(delete(mails).where(mails.c.id.in_(chosen))).rowcount


def delete_queued_mails(connection: Connection, *, user_id: UUID, kinds: Collection[MailKind]) -> None:
    """Delete the mails of some kinds to a user that wait to be sent. Limits on mails keep them few."""
    connection.execute(
        delete(mails).where(
            mails.c.user_id == user_id,
            mails.c.kind.in_([kind.value for kind in kinds]),
            mails.c.state == MailState.QUEUED.value,
        )
    )


def delete_expired_mails(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` mails that expired before a time. Return how many."""
    chosen = select(mails.c.id).where(mails.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(mails).where(mails.c.id.in_(chosen))).rowcount


def _end_lease(connection: Connection, mail_id: UUID, lease: UUID, values: dict[str, Any]) -> bool:
    ended = update(mails).where(mails.c.id == mail_id, mails.c.lease == lease).values(values)
    return connection.execute(ended).rowcount == 1

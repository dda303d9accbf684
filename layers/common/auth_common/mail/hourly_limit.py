"""The limit of mails in an hour for the whole stack, and its shares.

A provider limits what an account may send, and an attacker can cause mails. So that a flood of them keeps no user from
the mails that protect an account, mails have shares (``MailShare``):

- ``OPEN``, what any client can cause at any address: at most half of ``MAIL_PER_HOUR``.
- ``TRIGGERED``, notices of logins and lockouts: with ``OPEN`` at most five eighths. An attack on the logins of many
  accounts leaves room for the resets that their users then request.
- ``REQUESTED``, password resets: with both others at most three quarters.
- ``ESSENTIAL``, what only the user of an account can cause: all of it. Whatever the others use up, a quarter is left.

An attacker can have verified accounts, too. So an account gets at most ``MAX_ESSENTIAL`` essential mails in an hour,
and the last quarter of the hour is for accounts that got fewer than ``FEW_ESSENTIAL`` in a day. Only essential mails
count for that. Otherwise an attacker could hold back a user's notices with requests for that user. Mails without room
wait, and are sent when the hour has room again, or expire.

The sender counts the rows of mails that were sent, in the transaction that leases the next one and without locks. So
each of several senders that run at once may send one mail beyond a limit, and no more.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from auth_common.mail.kinds import MAIL_RULES, MailKind, MailShare
from auth_common.mail.store import AccountLimit, count_essential_mails_of, count_sent_mails
from auth_common.settings import settings

HOUR: Final = timedelta(hours=1)
#: Essential mails to one account in an hour.
MAX_ESSENTIAL: Final = 20
#: Essential mails to one account in a day, when three quarters of the hour are used up.
FEW_ESSENTIAL: Final = 3
_DAY: Final = timedelta(days=1)
#: The part of ``MAIL_PER_HOUR`` that a share may use, together with all later ones.
_PARTS: Final = {
    MailShare.OPEN: 0.5,
    MailShare.TRIGGERED: 0.625,
    MailShare.REQUESTED: 0.75,
    MailShare.ESSENTIAL: 1.0,
}
#: The part of ``MAIL_PER_HOUR`` after which only accounts with few essential mails get further ones.
_PART_OF_ALL_ACCOUNTS: Final = 0.75


class Room(NamedTuple):
    """What the hour has room for."""

    #: The shares of which a further mail may be sent. They are the first ones.
    shares: list[MailShare]
    #: The essential mails that one account may get.
    of_account: list[AccountLimit]


class NoRoom(Exception):
    """The hour has no room for a mail. The mail waits."""

    def __init__(self, room: Room) -> None:
        """Store what the hour has room for."""
        super().__init__("the hour has no room for this mail")
        self.room = room


def whole_hour(now: datetime) -> Room:
    """Return the room of an hour in which no mail was sent."""
    return Room(sorted(MailShare), [AccountLimit(now - HOUR, MAX_ESSENTIAL)])


def require_room(connection: Connection, *, kind: str, user_id: UUID | None, now: datetime) -> None:
    """Require that a mail that was leased in this transaction may be sent. The mail itself is counted already.

    Raises:
        NoRoom: it may not. The lease must be rolled back.

    """
    share = MAIL_RULES[MailKind(kind)].share if kind in MAIL_RULES else MailShare.OPEN
    sent = count_sent_mails(connection, since=now - HOUR)
    sent[share] -= 1
    room = _room_beside(sent, now)
    if share not in room.shares:
        raise NoRoom(room)
    if share is not MailShare.ESSENTIAL or user_id is None:
        return
    for limit in room.of_account:
        if count_essential_mails_of(connection, user_id=user_id, since=limit.since) > limit.number:
            raise NoRoom(room)


def _room_beside(sent: Mapping[MailShare, int], now: datetime) -> Room:
    of_account = [AccountLimit(now - HOUR, MAX_ESSENTIAL)]
    if sum(sent.values()) >= settings().mail_per_hour * _PART_OF_ALL_ACCOUNTS:
        of_account.append(AccountLimit(now - _DAY, FEW_ESSENTIAL))
    return Room(_shares_with_room(sent), of_account)


def _shares_with_room(sent: Mapping[MailShare, int]) -> list[MailShare]:
    with_room: list[MailShare] = []
    for share in sorted(MailShare):
        used = sum(number for each, number in sent.items() if each >= share)
        if used >= settings().mail_per_hour * _PARTS[share]:
            # A later share is a part of this one.
            break
        with_room.append(share)
    return with_room

"""The limit of mails in an hour for the whole stack, and its shares.

A provider limits what an account may send, and an attacker can cause mails. So that a flood of them keeps no user from
the mails that protect an account, mails have shares (``MailShare``):

- ``OPEN``, what any client can cause at any address: at most half of ``MAIL_PER_HOUR``.
- ``REQUESTED``, what an attacker can cause at verified accounts: with ``OPEN`` at most three quarters.
- ``ESSENTIAL``, what only the user of an account can cause: all of it. Whatever the others use up, a quarter is left.

An account gets at most ``MAX_PER_ACCOUNT`` mails in an hour, so that no user can use up a share. Mails without room
wait, and are sent when the hour has room again, or expire.

The sender counts the rows of mails that were sent. Counting and leasing is one transaction without locks. So each of
several senders that run at once may send one mail beyond a limit, and no more.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.mail.kinds import MAIL_RULES, MailKind, MailShare
from auth_common.mail.store import count_sent_mails, count_sent_mails_of
from auth_common.settings import settings

HOUR: Final = timedelta(hours=1)
#: Mails to one account in an hour.
MAX_PER_ACCOUNT: Final = 20
#: The part of ``MAIL_PER_HOUR`` that a share may use, together with all later ones.
_PARTS: Final = {MailShare.OPEN: 0.5, MailShare.REQUESTED: 0.75, MailShare.ESSENTIAL: 1.0}


def shares_with_room(sent: Mapping[MailShare, int]) -> list[MailShare]:
    """Return the shares of which a further mail may be sent.

    Args:
        sent: the number of mails that were sent within the hour, by share.

    """
    with_room: list[MailShare] = []
    for share in sorted(MailShare):
        used = sum(number for each, number in sent.items() if each >= share)
        if used >= settings().mail_per_hour * _PARTS[share]:
            # A later share is a part of this one.
            break
        with_room.append(share)
    return with_room


def has_room(connection: Connection, *, kind: str, user_id: UUID | None, now: datetime) -> bool:
    """Return whether a mail that was leased in this transaction may be sent. The mail itself is counted already."""
    since = now - HOUR
    share = MAIL_RULES[MailKind(kind)].share if kind in MAIL_RULES else MailShare.OPEN
    sent = count_sent_mails(connection, since=since)
    if share not in shares_with_room({**sent, share: sent[share] - 1}):
        return False
    return user_id is None or count_sent_mails_of(connection, user_id=user_id, since=since) <= MAX_PER_ACCOUNT

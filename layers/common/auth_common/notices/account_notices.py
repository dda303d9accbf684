"""Queue a notice: a mail that tells the user of an account what has happened, and has the link "this was not me".

Notices go to verified addresses only. An address that is not verified may belong to another user, who must not be
flooded, and must not learn the client IPs of an account that was registered with their address.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from auth_common.events import request_context
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.outbox import queue_mail
from auth_common.mail_tokens.store import MailToken, insert_mail_token
from auth_common.mail_tokens.tokens_and_codes import (
    TOKEN_LIFETIMES,
    MailTokenPurpose,
    hash_address,
    hash_mail_token,
    new_mail_token,
)
from auth_common.settings import settings
from auth_common.users.email_change_store import EMAIL_RESERVED_FOR
from auth_common.users.store import User

#: How long a link is valid, if it is shorter than for the other kinds. Until then the change of an address is undone.
_LINK_LIFETIMES: Final = {MailKind.EMAIL_CHANGED: EMAIL_RESERVED_FOR}


def queue_notice(
    connection: Connection, kind: MailKind, *, user: User, event_at: datetime | None = None, **further: str
) -> None:
    """Queue a notice in the transaction of the change that it is about. Do nothing if the address is not verified.

    Args:
        connection: the transaction.
        kind: the kind of notice.
        user: the account. The notice goes to ``user.email``, so pass the user as it was before a change of the address.
        event_at: when the event was. None: now. The link undoes changes from this time on, so the time must not
            be later than one that the change has stored, such as that of a passkey.
        further: the variables that only this kind of notice has.

    """
    if not receives_notices(user):
        return
    event_at = event_at or datetime.now(UTC)
    variables = {**event_variables(event_at), **further}
    if "undo_token" in MAIL_RULES[kind].variables:
        variables["undo_token"] = _new_link(connection, kind, user, event_at)
    queue_mail(connection, kind, recipient=user.email, user_id=user.id, locale=user.locale, variables=variables)


def receives_notices(user: User) -> bool:
    """Return whether a user gets notices: the service sends mail, and the address is verified."""
    return user.email_verified and settings().sends_mail()


def event_variables(event_at: datetime | None = None) -> Mapping[str, str]:
    """Return the variables that all notices about an event of the current request have.

    The texts leave out a line whose variable is empty, as after an operator's command.

    Args:
        event_at: when the event was. None: now.

    """
    # Loads the patterns of a library, which takes longer than most requests. Few requests queue a notice.
    from auth_common.sessions.devices import name_known_device  # noqa: PLC0415

    request, event_at = request_context.get(), event_at or datetime.now(UTC)
    return {
        "time": event_at.strftime("%Y-%m-%d %H:%M UTC"),
        "device": name_known_device(request.user_agent),
        "client_ip": request.source_ip,
    }


def _new_link(connection: Connection, kind: MailKind, user: User, event_at: datetime) -> str:
    """Store the token of a link "this was not me", and return it."""
    token, purpose = new_mail_token(), MailTokenPurpose.SECURE_ACCOUNT
    insert_mail_token(
        connection,
        MailToken(
            id=uuid4(),
            purpose=purpose,
            user_id=user.id,
            address_hash=hash_address(user.email),
            token_hash=hash_mail_token(token, purpose),
            token_version=user.token_version,
            expires_at=event_at + _LINK_LIFETIMES.get(kind, TOKEN_LIFETIMES[purpose]),
            event_at=event_at,
        ),
    )
    return token

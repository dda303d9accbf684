"""The outbox: a mail is a row that commits together with the change and the audit record that it is about.

So no mail is lost after a crash, and none is sent about a change that was rolled back. ``sender`` sends the rows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from auth_common.audit_log.salt_store import make_salt
from auth_common.errors import MailNotConfigured
from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.sealing import MailContent, seal_mail
from auth_common.mail.store import QueuedMail, insert_mail
from auth_common.mail.waking import wake_sender
from auth_common.settings import settings

#: The recipient of a decoy.
DECOY: Final = ""


def require_mail() -> None:
    """Require that mail is configured, for an endpoint that is of no use without mail.

    Raises:
        MailNotConfigured: ``MAIL_TRANSPORT`` is ``none``.

    """
    if not settings().sends_mail():
        raise MailNotConfigured


def queue_mail(
    connection: Connection,
    kind: MailKind,
    *,
    recipient: str,
    user_id: UUID | None,
    locale: str | None,
    variables: Mapping[str, str],
) -> None:
    """Store a mail in the caller's transaction, and wake the sender at the end of the request.

    Do nothing if no mail is configured, or if the user was erased meanwhile.

    Args:
        connection: the transaction of the change.
        kind: the kind of mail.
        recipient: a normalised e-mail address. ``DECOY``: for an unknown address, store a row that costs the same and
            is never sent.
        user_id: the account, under whose key the mail is encrypted. None: a mail without an account.
        locale: the language of the texts, such as ``en``. None: the user's language is unknown.
        variables: the values that the texts of this kind use, by name.

    Raises:
        ValueError: the variables are not those of the kind.

    """
    rules = MAIL_RULES[kind]
    if variables.keys() != rules.variables:
        message = f"{kind} has the variables {sorted(rules.variables)}"
        raise ValueError(message)
    if not settings().sends_mail():
        return
    wake_sender()
    salt = make_salt(connection, user_id=user_id)
    if user_id and salt is None:
        return
    mail_id, now = uuid4(), datetime.now(UTC)
    content = MailContent(recipient=recipient, locale=locale, variables=variables)
    insert_mail(
        connection,
        QueuedMail(
            id=mail_id,
            kind=kind,
            user_id=user_id,
            sealed=seal_mail(content, mail_id=mail_id, salt=salt),
            created_at=now,
            next_attempt_at=now,
            expires_at=now + rules.lifetime,
        ),
    )

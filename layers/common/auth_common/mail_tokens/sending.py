"""Queue a mail with a link, and perhaps a code, whose HMACs are stored in the same transaction."""

from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from auth_common.mail.kinds import MAIL_RULES, MailKind
from auth_common.mail.outbox import DECOY, queue_mail
from auth_common.mail_tokens.store import MailToken, insert_mail_token
from auth_common.mail_tokens.tokens_and_codes import (
    CODE_LIFETIME,
    TOKEN_LIFETIMES,
    MailTokenPurpose,
    format_code,
    hash_address,
    hash_code,
    hash_mail_token,
    new_code,
    new_mail_token,
)
from auth_common.settings import settings
from auth_common.users.store import User

#: What the token of a mail is for. ``ADDRESS_TAKEN`` has no token.
PURPOSES_OF_MAILS: Final = {
    MailKind.VERIFY_EMAIL: MailTokenPurpose.VERIFY_EMAIL,
    MailKind.REGISTER_AGAIN: MailTokenPurpose.CLAIM_ADDRESS,
    MailKind.RESET_PASSWORD: MailTokenPurpose.RESET_PASSWORD,
    MailKind.CONFIRM_NEW_EMAIL: MailTokenPurpose.CHANGE_EMAIL,
}


def queue_mail_with_token(connection: Connection, kind: MailKind, *, email: str, user: User | None) -> None:
    """Create the token and the code of a mail, and queue the mail.

    All kinds and recipients cause the same statements, so that a client cannot measure whether an address has an
    account. A mail without a token stores a token that proves nothing. Without mail in the settings nothing is done.

    Args:
        connection: the transaction of the request.
        kind: ``ADDRESS_TAKEN``, or a kind with a token.
        email: the normalised address that the client named, to which the mail is sent.
        user: the account that the mail is about, which has this address or wants to change to it. None: nothing is
            sent, and the stored token proves nothing.

    """
    if not settings().sends_mail():
        return
    purpose = PURPOSES_OF_MAILS.get(kind, MailTokenPurpose.VERIFY_EMAIL)
    holder = user if kind in PURPOSES_OF_MAILS else None
    needed = MAIL_RULES[kind].variables
    token, code, now, token_id = new_mail_token(), new_code(), datetime.now(UTC), uuid4()
    has_code = "code" in needed
    insert_mail_token(
        connection,
        MailToken(
            id=token_id,
            purpose=purpose,
            user_id=holder.id if holder else None,
            address_hash=hash_address(email),
            token_hash=hash_mail_token(token, purpose),
            code_hash=hash_code(code, mail_token_id=token_id) if has_code else None,
            token_version=holder.token_version if holder else None,
            expires_at=now + TOKEN_LIFETIMES[purpose],
            code_expires_at=now + CODE_LIFETIME if has_code else None,
            new_email=email if holder and purpose is MailTokenPurpose.CHANGE_EMAIL else None,
        ),
    )
    secrets = {"token": token, "code": format_code(code)}
    queue_mail(
        connection,
        kind,
        recipient=email if user else DECOY,
        user_id=user.id if user else None,
        locale=user.locale if user else None,
        variables={name: value for name, value in secrets.items() if name in needed},
    )

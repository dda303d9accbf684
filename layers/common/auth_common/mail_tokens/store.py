"""The table of mail tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from auth_common.database.pipeline import write_later
from auth_common.database.tables import as_row, mail_tokens
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose


@dataclass(frozen=True, slots=True, kw_only=True)
class MailToken:
    """A link, and perhaps a code, that was sent to an address."""

    id: UUID
    #: A ``MailTokenPurpose``.
    purpose: str
    #: None if the address has no account. The token then proves nothing.
    user_id: UUID | None
    address_hash: bytes
    token_hash: bytes
    code_hash: bytes | None = None
    tries: int = 0
    #: The user's token version when the mail was requested.
    token_version: int | None
    expires_at: datetime
    code_expires_at: datetime | None = None
    #: Only of a link "this was not me": when the event of its notice was, and when the link did its work.
    event_at: datetime | None = None
    used_at: datetime | None = None
    #: Only of a change of the address: the new address, normalised.
    new_email: str | None = None


_COLUMNS: Final = tuple(mail_tokens.c[name] for name in MailToken.__dataclass_fields__)
_INSERT: Final = mail_tokens.insert()
_SELECT: Final = select(*_COLUMNS).where(mail_tokens.c.token_hash.in_(bindparam("token_hashes", expanding=True)))
_COUNT_TRY: Final = (
    update(mail_tokens)
    .where(
        mail_tokens.c.address_hash == bindparam("at"),
        mail_tokens.c.purpose.in_(bindparam("uses", expanding=True)),
        mail_tokens.c.code_expires_at > bindparam("now"),
        mail_tokens.c.tries < bindparam("max_tries"),
    )
    .values(tries=mail_tokens.c.tries + 1)
    .returning(*_COLUMNS)
)


def insert_mail_token(connection: Connection, mail_token: MailToken) -> None:
    """Store a mail token."""
    write_later(connection, _INSERT, as_row(mail_token))


def select_mail_token(connection: Connection, *, token_hashes: Sequence[bytes]) -> MailToken | None:
    """Return the mail token with one of these hashes, which are those of one token. Return None if there is none."""
    row = connection.execute(_SELECT, {"token_hashes": token_hashes}).mappings().one_or_none()
    return MailToken(**row) if row else None


def count_code_try(
    connection: Connection, *, address_hash: bytes, purposes: Sequence[str], now: datetime, max_tries: int
) -> list[MailToken]:
    """Count a try at each valid code of an address for one of ``purposes``, and return these codes.

    The statement itself compares the count with the maximum, so a burst cannot exceed it. A code that has reached the
    maximum is not returned. The link of its mail stays valid.
    """
    values = {"at": address_hash, "uses": purposes, "now": now, "max_tries": max_tries}
    return [MailToken(**row) for row in connection.execute(_COUNT_TRY, values).mappings()]


def delete_mail_token(connection: Connection, *, mail_token_id: UUID) -> bool:
    """Delete a mail token. Return False if it was deleted before, for example by a concurrent request."""
    return connection.execute(delete(mail_tokens).where(mail_tokens.c.id == mail_token_id)).rowcount == 1


def delete_mail_tokens_of(connection: Connection, *, user_id: UUID, purposes: Collection[str] | None = None) -> None:
    """Delete a user's mail tokens for ``purposes``, or all of them. Limits on mails keep them few."""
    statement = delete(mail_tokens).where(mail_tokens.c.user_id == user_id)
    if purposes is not None:
        statement = statement.where(mail_tokens.c.purpose.in_(purposes))
    write_later(connection, statement, {})


def delete_mail_tokens_after_reset(connection: Connection, *, user_id: UUID, address_hash: bytes) -> None:
    """Delete a user's mail tokens after a password reset, by which the user of an address has proved it.

    The links "this was not me" that were sent to other addresses stay. An attacker who has changed the address could
    otherwise end them by a reset with the new address.
    """
    # No secret: the database makes this comparison.
    is_ended = or_(mail_tokens.c.purpose != MailTokenPurpose.SECURE_ACCOUNT, mail_tokens.c.address_hash == address_hash)
    connection.execute(delete(mail_tokens).where(mail_tokens.c.user_id == user_id, is_ended))


def delete_security_links_to_others(
    connection: Connection, *, user_id: UUID, address_hash: bytes, since: datetime
) -> None:
    """Delete a user's links "this was not me" about events at ``since`` or later that went to other addresses."""
    statement = delete(mail_tokens).where(
        mail_tokens.c.user_id == user_id,
        mail_tokens.c.purpose == MailTokenPurpose.SECURE_ACCOUNT,
        mail_tokens.c.event_at >= since,
        # No secret: the database makes this comparison.
        mail_tokens.c.address_hash != address_hash,
    )
    connection.execute(statement)


def use_security_links(connection: Connection, mail_token: MailToken, *, now: datetime) -> bool:
    """Mark a link "this was not me" as used, and with it those of later events, which it covers.

    The links of earlier events stay unused. An attacker who gets a notice of a later event can therefore not use up the
    link of the event that gave the account to the attacker.

    Return False, and mark nothing, if the link was used before, or is deleted. Otherwise an attacker with a used link
    could use up the links of all events since then.
    """
    used = update(mail_tokens).where(mail_tokens.c.used_at.is_(None)).values(used_at=now)
    if connection.execute(used.where(mail_tokens.c.id == mail_token.id)).rowcount != 1:
        return False
    later = used.where(
        mail_tokens.c.user_id == mail_token.user_id,
        mail_tokens.c.purpose == MailTokenPurpose.SECURE_ACCOUNT,
        mail_tokens.c.event_at >= mail_token.event_at,
    )
    connection.execute(later)
    return True


def is_mail_token_stored(connection: Connection, *, mail_token_id: UUID) -> bool:
    """Return whether a mail token is stored, used or not."""
    found = select(mail_tokens.c.id).where(mail_tokens.c.id == mail_token_id)
    return connection.execute(found).one_or_none() is not None


def delete_expired_mail_tokens(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` mail tokens that expired before ``expired_before``. Return how many."""
    expired = select(mail_tokens.c.id).where(mail_tokens.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(mail_tokens).where(mail_tokens.c.id.in_(expired))).rowcount

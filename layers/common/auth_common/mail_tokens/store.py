"""The table of mail tokens."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select, update

from auth_common.database.tables import as_row, mail_tokens


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
    code_hash: bytes | None
    tries: int = 0
    #: The user's token version when the mail was requested.
    token_version: int | None
    expires_at: datetime
    code_expires_at: datetime | None


_COLUMNS: Final = tuple(mail_tokens.c[name] for name in MailToken.__dataclass_fields__)
_INSERT: Final = mail_tokens.insert()
_SELECT: Final = select(*_COLUMNS).where(mail_tokens.c.token_hash == bindparam("token_hash"))
_COUNT_TRY: Final = (
    update(mail_tokens)
    .where(
        mail_tokens.c.address_hash == bindparam("at"),
        mail_tokens.c.purpose == bindparam("use"),
        mail_tokens.c.code_expires_at > bindparam("now"),
        mail_tokens.c.tries < bindparam("max_tries"),
    )
    .values(tries=mail_tokens.c.tries + 1)
    .returning(*_COLUMNS)
)


def insert_mail_token(connection: Connection, mail_token: MailToken) -> None:
    """Store a mail token."""
    connection.execute(_INSERT, as_row(mail_token))


def select_mail_token(connection: Connection, *, token_hash: bytes) -> MailToken | None:
    """Return the mail token with this hash. Return None if there is none."""
    row = connection.execute(_SELECT, {"token_hash": token_hash}).mappings().one_or_none()
    return MailToken(**row) if row else None


def count_code_try(
    connection: Connection, *, address_hash: bytes, purpose: str, now: datetime, max_tries: int
) -> list[MailToken]:
    """Count a try at each valid code of an address, and return these codes.

    The statement itself compares the count with the maximum, so a burst cannot exceed it. A code that has reached the
    maximum is not returned. The link of its mail stays valid.
    """
    values = {"at": address_hash, "use": purpose, "now": now, "max_tries": max_tries}
    return [MailToken(**row) for row in connection.execute(_COUNT_TRY, values).mappings()]


def delete_mail_token(connection: Connection, *, mail_token_id: UUID) -> bool:
    """Delete a mail token. Return False if it was deleted before, for example by a concurrent request."""
    return connection.execute(delete(mail_tokens).where(mail_tokens.c.id == mail_token_id)).rowcount == 1


def delete_mail_tokens_of(connection: Connection, *, user_id: UUID, purposes: Collection[str] | None = None) -> None:
    """Delete a user's mail tokens for ``purposes``, or all of them. Limits on mails keep them few."""
    statement = delete(mail_tokens).where(mail_tokens.c.user_id == user_id)
    if purposes is not None:
        statement = statement.where(mail_tokens.c.purpose.in_(purposes))
    connection.execute(statement)


def delete_expired_mail_tokens(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` mail tokens that expired before ``expired_before``. Return how many."""
    expired = select(mail_tokens.c.id).where(mail_tokens.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(mail_tokens).where(mail_tokens.c.id.in_(expired))).rowcount

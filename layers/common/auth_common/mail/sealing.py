"""The encryption of a mail's recipient and variables, which contain a personal address and secrets.

The key of a user's mail depends on the user's salt, so an erasure makes it unreadable in every copy of the database.
Both keys depend on the audit key, which is not in the database.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag

from auth_common.keys.encryption import decrypt, encrypt
from auth_common.keys.keyed_hashes import keyed_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class MailContent:
    """What a mail says, and to whom."""

    #: The address. Empty: a decoy, which the sender discards.
    recipient: str
    #: The language of the texts, such as ``en``. None: the user's language is unknown.
    locale: str | None
    #: The values of the texts' variables, by name.
    variables: Mapping[str, str]


def seal_mail(content: MailContent, *, mail_id: UUID, salt: bytes | None) -> bytes:
    """Return the content encrypted with AES-256-GCM.

    Args:
        content: the content.
        mail_id: the mail, to which the ciphertext is bound.
        salt: the user's salt (``audit_log.salt_store.make_salt``). None: a mail without a user, under the service key.

    """
    return encrypt(json.dumps(asdict(content)).encode(), key=_key(salt), bound_to=mail_id.bytes)


def open_mail(sealed: bytes, *, mail_id: UUID, salt: bytes | None) -> MailContent | None:
    """Return the content that ``seal_mail`` encrypted. Return None if the salt or mail differs, or on tampering."""
    try:
        opened = decrypt(sealed, key=_key(salt), bound_to=mail_id.bytes)
    except (InvalidTag, ValueError):
        return None
    return MailContent(**json.loads(opened))


def _key(salt: bytes | None) -> bytes:
    return keyed_hash(b"mail without a user", b"") if salt is None else keyed_hash(b"mail", salt)

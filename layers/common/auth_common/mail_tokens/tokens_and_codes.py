"""The secrets of a mail: a token of 256 bits for its link, and for some mails a code that a user can type.

The database stores HMACs, whose key is not in the database. So an attacker who can read the database cannot compute a
code by trying all of them, and one who can write to it cannot insert a token of their own (ASVS 5.0 11.4.3).
"""

import hmac
import secrets
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from auth_common.keys.keyed_hashes import keyed_hash

#: By this prefix, secret scanners and the redaction of logs recognise a leaked token.
_PREFIX: Final = "mt_"
#: Crockford's base32, which has none of the letters I, L, O and U.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Letters that users read as digits, and the separators of a displayed code.
_AS_TYPED: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
#: 40 bits. ASVS 5.0 6.5.4 requires 20.
_CODE_CHARACTERS: Final = 8
_ADDRESS_HASH_BYTES: Final = 16


class MailTokenPurpose(StrEnum):
    """What the holder of a token may do. A token is valid for one purpose only."""

    #: Prove an address, together with the account's password or a session of the account.
    VERIFY_EMAIL = "verify_email"
    #: Register an account that replaces an unverified account with this address.
    CLAIM_ADDRESS = "claim_address"
    #: Set a new password.
    RESET_PASSWORD = "reset_password"
    #: Say "this was not me" about the event of a notice.
    SECURE_ACCOUNT = "secure_account"
    #: Prove the new address of an account, together with the account's password or a session of the account.
    CHANGE_EMAIL = "change_email"


#: What users request, in contrast to the link "this was not me". Such links end with a change of the account. The other
#: stays, because an attacker who has made the change must not be able to end it.
REQUESTED_PURPOSES: Final = tuple(each for each in MailTokenPurpose if each is not MailTokenPurpose.SECURE_ACCOUNT)
#: How long a link is valid.
TOKEN_LIFETIMES: Final = {
    MailTokenPurpose.VERIFY_EMAIL: timedelta(hours=24),
    MailTokenPurpose.CLAIM_ADDRESS: timedelta(hours=24),
    MailTokenPurpose.RESET_PASSWORD: timedelta(minutes=30),
    MailTokenPurpose.SECURE_ACCOUNT: timedelta(days=7),
    MailTokenPurpose.CHANGE_EMAIL: timedelta(hours=24),
}
#: How long a code is valid (ASVS 5.0 6.5.5).
CODE_LIFETIME: Final = timedelta(minutes=10)


def new_mail_token() -> str:
    """Return 256 random bits as ``mt_`` and 43 base64url characters."""
    return _PREFIX + secrets.token_urlsafe(32)


def new_code() -> str:
    """Return a random code of 8 characters, without a separator."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))


def format_code(code: str) -> str:
    """Return a code as users read it: ``7KQ4-M2XB``."""
    half = _CODE_CHARACTERS // 2
    return f"{code[:half]}-{code[half:]}"


def normalise_code(typed: str) -> str:
    """Return a code as it was created, from what a user typed: in any case, with or without separators."""
    return typed.upper().translate(_AS_TYPED)


def hash_mail_token(token: str, purpose: MailTokenPurpose) -> bytes:
    """Return the HMAC of a token, 32 bytes. The same token for another purpose has another HMAC."""
    return keyed_hash(b"mail token", f"{purpose}\0{token}".encode())


def hash_code(code: str, *, mail_token_id: UUID) -> bytes:
    """Return the HMAC of a code, 32 bytes. It is bound to the row, so equal codes of two mails differ."""
    return keyed_hash(b"mail code", mail_token_id.bytes + code.encode())


def is_code(typed: str, *, mail_token_id: UUID, stored_hash: bytes) -> bool:
    """Return whether a user typed the code with the hash ``stored_hash``. The comparison takes constant time."""
    return hmac.compare_digest(hash_code(normalise_code(typed), mail_token_id=mail_token_id), stored_hash)


def hash_address(email: str) -> bytes:
    """Return the HMAC of a normalised e-mail address, 16 bytes."""
    return keyed_hash(b"mail token address", email.encode())[:_ADDRESS_HASH_BYTES]

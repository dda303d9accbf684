"""The audit log's cryptography: a chain of MACs that shows tampering, and personal fields that can be erased.

The key is not in the database. So an attacker who can write to the database can neither forge a record nor hide the
deletion of one. Personal fields are encrypted under a key that also depends on a salt of their user. The deletion of
the salt erases these fields in every copy of the log without salts, and the chain stays valid. NIST SP 800-88 calls
this cryptographic erase.
"""

import base64
import json
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag

from auth_common.keys.encryption import decrypt, encrypt
from auth_common.keys.keyed_hashes import keyed_hash

#: The previous MAC of the first record in a chain.
FIRST_PREVIOUS_MAC: Final = bytes(32)
SALT_BYTES: Final = 32


def chain_mac(*, previous: bytes, chain_id: UUID, sequence: int, record: str) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) that binds ``record`` to its place and to all earlier records of the chain.

    Args:
        previous: The MAC of the previous record, or ``FIRST_PREVIOUS_MAC``.
        chain_id: The chain.
        sequence: The place in the chain, from 0.
        record: The JSON text as it is stored.

    """
    return keyed_hash(b"chain", previous + chain_id.bytes + sequence.to_bytes(8, "big", signed=True) + record.encode())


def seal_personal(personal: Mapping[str, str], *, user_id: UUID, salt: bytes) -> str:
    """Return ``personal`` encrypted with AES-256-GCM for a record of the user, as base64.

    Args:
        personal: The personal fields.
        user_id: The user, to whom the ciphertext is bound.
        salt: The user's salt (``SALT_BYTES``).

    """
    sealed = encrypt(json.dumps(personal).encode(), key=_personal_key(salt), bound_to=user_id.bytes)
    return base64.b64encode(sealed).decode()


def open_personal(sealed: str, *, user_id: UUID, salt: bytes) -> dict[str, str] | None:
    """Return the fields that ``seal_personal`` encrypted. Return None if the salt or user differs, or on tampering."""
    try:
        opened = decrypt(base64.b64decode(sealed), key=_personal_key(salt), bound_to=user_id.bytes)
    except (InvalidTag, ValueError):
        return None
    personal: dict[str, str] = json.loads(opened)
    return personal


def _personal_key(salt: bytes) -> bytes:
    return keyed_hash(b"personal", salt)

"""The audit log's cryptography: a chain of MACs that shows tampering, and personal fields that can be forgotten.

One key, the audit key, which is not in the database; from it one key a purpose. Whoever can write to the database can
thus neither forge a record nor close the gap where one was. Personal fields are encrypted under a key that also needs
a salt of their user's: deleting that salt erases them in every copy of the log that comes without the salts, and leaves
the chain as it is (NIST SP 800-88 calls it cryptographic erase).
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auth_common.security.shared_secrets import audit_key

#: What the first record of a chain has as the MAC before it.
FIRST_PREVIOUS_MAC: Final = bytes(32)
SALT_BYTES: Final = 32

_NONCE_BYTES: Final = 12


def chain_mac(*, previous: bytes, chain_id: UUID, sequence: int, record: str) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) that binds ``record`` to its place and to everything before it.

    Args:
        previous: the MAC of the record before; ``FIRST_PREVIOUS_MAC`` for the first.
        chain_id: the chain.
        sequence: the place in it, from 0.
        record: as it is stored.

    """
    return _hmac(b"chain", previous + chain_id.bytes + sequence.to_bytes(8, "big", signed=True) + record.encode())


def source_index(source_ip: str) -> bytes:
    """Return what an address is found and counted by, 16 bytes: the same for the same address, and naming none."""
    return _hmac(b"source", source_ip.encode())[:16]


def account_pseudonym(email: str) -> str:
    """Return 16 hexadecimal characters that stand for an address that has no account."""
    return _hmac(b"account", email.encode()).hex()[:16]


def throttle_key(limit: str, *subjects: str) -> bytes:
    """Return 16 bytes that name the counter of ``limit`` for ``subjects``: an account, an address, or both.

    Whoever reads the database learns from them neither who is tried nor from where; and whether an account exists makes
    no difference to them.
    """
    return _hmac(b"throttle", "\0".join((limit, *subjects)).encode())[:16]


def challenge_mac(content: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) under which the challenge of a login travels through the client."""
    return _hmac(b"login challenge", content)


def seal_personal(personal: Mapping[str, str], *, user_id: UUID, salt: bytes) -> str:
    """Return ``personal`` encrypted with AES-256-GCM for the audit log of ``user_id``, as base64."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_personal_key(salt)).encrypt(nonce, json.dumps(personal).encode(), user_id.bytes)
    return base64.b64encode(nonce + sealed).decode()


def open_personal(sealed: str, *, user_id: UUID, salt: bytes) -> dict[str, str] | None:
    """Return what was sealed; ``None`` where it was sealed under another salt, or changed."""
    try:
        data = base64.b64decode(sealed)
        opened = AESGCM(_personal_key(salt)).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], user_id.bytes)
    except (InvalidTag, ValueError):
        return None
    personal: dict[str, str] = json.loads(opened)
    return personal


def _personal_key(salt: bytes) -> bytes:
    return _hmac(b"personal", salt)


def _hmac(purpose: bytes, message: bytes) -> bytes:
    return hmac.digest(_key_for(purpose), message, hashlib.sha256)


@lru_cache
def _key_for(purpose: bytes) -> bytes:
    return hmac.digest(audit_key(), b"secure-backend audit log: " + purpose, hashlib.sha256)

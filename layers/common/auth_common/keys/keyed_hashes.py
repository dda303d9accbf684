"""Keyed hashes: names for accounts and client IPs that only this service can compute, and MACs.

All keys are derived from the audit key, one for each purpose. The audit key is not in the database, so a reader of the
database cannot find out by trying which account or client IP a hash stands for.
"""

import hashlib
import hmac
from functools import lru_cache

from auth_common.keys.shared_secrets import audit_key


def keyed_hash(purpose: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) of a message under the key of a purpose."""
    return hmac.digest(_key_for(purpose), message, hashlib.sha256)


def source_index(source_ip: str) -> bytes:
    """Return 16 bytes by which the audit log finds and counts a client IP without storing it in clear."""
    return keyed_hash(b"source", source_ip.encode())[:16]


def account_pseudonym(email: str) -> str:
    """Return 16 hexadecimal characters that stand for an e-mail address without an account."""
    return keyed_hash(b"account", email.encode()).hex()[:16]


def throttle_key(limit: str, *subjects: str) -> bytes:
    """Return 16 bytes that name the counter of a limit.

    A reader of the database learns neither which account nor which client IP a counter belongs to. The key looks the
    same for an e-mail address with and without an account.

    Args:
        limit: its name.
        subjects: what it counts: an account, a client IP, or both.

    """
    return keyed_hash(b"throttle", "\0".join((limit, *subjects)).encode())[:16]


def challenge_mac(content: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) that protects the challenge of a login while the client has it."""
    return keyed_hash(b"login challenge", content)


@lru_cache
def _key_for(purpose: bytes) -> bytes:
    return hmac.digest(audit_key(), b"secure-backend audit log: " + purpose, hashlib.sha256)

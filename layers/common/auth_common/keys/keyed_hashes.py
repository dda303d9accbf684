"""Keyed hashes: MACs, and pseudonyms of accounts and client IPs that only this service can compute.

Each purpose has its own key, derived from the audit key. The audit key is not in the database. So an attacker who has
the database cannot find the account or client IP of a hash by trying all of them.
"""

import hashlib
import hmac
from functools import lru_cache

from auth_common.keys.shared_secrets import audit_key


def keyed_hash(purpose: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) of ``message`` with the key for ``purpose``."""
    return hmac.digest(_key_for(purpose), message, hashlib.sha256)


def source_index(source_ip: str) -> bytes:
    """Return 16 bytes with which the audit log finds and counts a client IP without storing it in plain text."""
    return keyed_hash(b"source", source_ip.encode())[:16]


def account_pseudonym(email: str) -> str:
    """Return a pseudonym of 16 hexadecimal characters for an e-mail address without an account."""
    return keyed_hash(b"account", email.encode()).hex()[:16]


def throttle_key(limit: str, *subjects: str) -> bytes:
    """Return the key (16 bytes) of a rate limit's counter in the database.

    The key does not reveal the account or the client IP of the counter, or whether an e-mail address has an account.

    Args:
        limit: the name of the rate limit.
        subjects: the account, the client IP, or both.

    """
    return keyed_hash(b"throttle", "\0".join((limit, *subjects)).encode())[:16]


def challenge_mac(content: bytes) -> bytes:
    """Return the HMAC-SHA-256 (32 bytes) of a login challenge. The client stores both and sends both back."""
    return keyed_hash(b"login challenge", content)


@lru_cache
def _key_for(purpose: bytes) -> bytes:
    return hmac.digest(audit_key(), b"secure-backend audit log: " + purpose, hashlib.sha256)

"""Refresh tokens: opaque random strings; the database knows only their SHA-256 (RFC 9700 section 4.14).

A plain hash is right here, unlike for passwords: 256 random bits cannot be guessed, at whatever speed.

A client may lose the answer to a refresh and present its spent token once more. It then gets the *same* successor, so
a family never has two live branches. To make that possible without storing tokens, the successor is kept sealed under
the spent token: whoever does not hold that token, the database's thief included, cannot open it.
"""

import hashlib
import hmac
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Tells secret scanners, and our own log redaction, what a leaked one is.
PREFIX: Final = "rt_"
#: Characters, at most: ours have 46. A longer one is not looked up.
LONGEST: Final = 64

_NONCE_BYTES: Final = 12


def new_refresh_token() -> str:
    """Return 256 fresh random bits as ``rt_`` and 43 base64url characters."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_refresh_token(token: str) -> bytes:
    """Return what is stored and looked up: the SHA-256 of ``token``, 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def seal_successor(successor: str, *, under: str) -> bytes:
    """Return ``successor`` encrypted with AES-256-GCM under a key that only the bearer of the token ``under`` has."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_sealing_key(under)).encrypt(nonce, successor.encode(), None)


def open_successor(sealed: bytes, *, under: str) -> str:
    """Return the successor that was sealed under the token ``under``."""
    return AESGCM(_sealing_key(under)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()


def _sealing_key(token: str) -> bytes:
    # Another function of the token than the stored hash, so that the database does not hold the key.
    return hmac.digest(token.encode(), b"secure-backend: refresh token successor", hashlib.sha256)

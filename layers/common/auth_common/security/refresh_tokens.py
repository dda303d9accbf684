"""Refresh tokens: opaque random strings; the database knows only their SHA-256 (RFC 9700 section 4.14).

A plain hash is right here, unlike for passwords: 256 random bits cannot be guessed, at whatever speed.
"""

import hashlib
import secrets

#: Tells secret scanners, and our own log redaction, what a leaked one is.
PREFIX = "rt_"


def new_refresh_token() -> str:
    """Return 256 fresh random bits as ``rt_`` and 43 base64url characters."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_refresh_token(token: str) -> bytes:
    """Return what is stored and looked up: the SHA-256 of ``token``, 32 bytes."""
    return hashlib.sha256(token.encode()).digest()

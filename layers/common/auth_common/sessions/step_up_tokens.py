"""Step-up tokens: the second secret of a session, which only the client that proved its user's identity has.

An access token travels to every service that accepts it. A step-up token goes to this service only, in the header
``Step-Up-Token``, and is opaque: the database has its SHA-256. Like a refresh token it has 256 random bits, so a plain
hash is enough.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

#: Tells secret scanners, and our own log redaction, what a leaked one is.
PREFIX: Final = "su_"
#: How long one opens sensitive routes.
LIFETIME: Final = timedelta(minutes=10)


def new_step_up_token() -> str:
    """Return 256 random bits as ``su_`` and 43 base64url characters."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_step_up_token(token: str) -> bytes:
    """Return what is stored: the SHA-256 of ``token``, 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def is_step_up_token(token: str, *, stored_hash: bytes) -> bool:
    """Return whether ``token`` is the one whose hash is stored, in a time that does not depend on where they differ."""
    return hmac.compare_digest(hash_step_up_token(token), stored_hash)

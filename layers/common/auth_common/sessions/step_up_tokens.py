"""Step-up tokens: a second secret of a session, held by the client in which the user has proved their identity.

A client sends its access token to every service that accepts it. It sends its step-up token to this service only, in
the header ``Step-Up-Token``. The database stores the SHA-256 of the token. A fast hash is enough for 256 random bits.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

#: By this prefix, secret scanners and the redaction of logs recognise a leaked token.
_PREFIX: Final = "su_"
#: How long sensitive routes accept a token.
STEP_UP_TOKEN_LIFETIME: Final = timedelta(minutes=10)


def new_step_up_token() -> str:
    """Return 256 random bits as ``su_`` and 43 base64url characters."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_step_up_token(token: str) -> bytes:
    """Return the SHA-256 of ``token``, 32 bytes, which is stored."""
    return hashlib.sha256(token.encode()).digest()


def is_step_up_token(token: str, *, stored_hash: bytes) -> bool:
    """Return whether ``token`` has the hash ``stored_hash``. The comparison takes constant time."""
    return hmac.compare_digest(hash_step_up_token(token), stored_hash)

"""Refresh tokens: opaque random strings. The database stores their SHA-256 (RFC 9700 section 4.14).

A fast hash is enough, unlike for passwords: 256 random bits cannot be guessed at any speed.

A client that has lost the response to a refresh may present its spent token again, and gets the same successor. So the
service stores the successor, encrypted under a key made from the spent token. An attacker who has the database but not
the spent token cannot decrypt it.
"""

import hashlib
import hmac
import secrets
from typing import Final

from auth_common.keys.encryption import decrypt, encrypt

#: By this prefix, secret scanners and the redaction of logs recognise a leaked token.
_PREFIX: Final = "rt_"
#: Characters. Issued tokens have 46. Longer ones are rejected without a look at the database.
MAX_REFRESH_TOKEN_LENGTH: Final = 64


def new_refresh_token() -> str:
    """Return 256 random bits as ``rt_`` and 43 base64url characters."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_refresh_token(token: str) -> bytes:
    """Return the SHA-256 of ``token``, 32 bytes, by which the token is stored and found."""
    return hashlib.sha256(token.encode()).digest()


def seal_successor(successor: str, *, under: str) -> bytes:
    """Return ``successor`` encrypted with AES-256-GCM, under a key that is made from the token ``under``."""
    return encrypt(successor.encode(), key=_sealing_key(under))


def open_successor(sealed: bytes, *, under: str) -> str:
    """Return the successor that ``seal_successor`` has encrypted under the token ``under``.

    Raises:
        cryptography.exceptions.InvalidTag: it was sealed under another token, or has been changed.

    """
    return decrypt(sealed, key=_sealing_key(under)).decode()


def _sealing_key(token: str) -> bytes:
    # A different function of the token than the stored hash, so that the database does not contain the key.
    return hmac.digest(token.encode(), b"secure-backend: refresh token successor", hashlib.sha256)

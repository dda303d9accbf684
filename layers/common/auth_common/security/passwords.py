"""Password hashing: the one module that uses ``bcrypt``.

Stored is ``bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password))))``:

- the HMAC lets a password of any length count in full: bcrypt reads 72 bytes at most, and base64 of SHA-384 is 64
  bytes without NUL;
- the pepper is not in the database, so a stolen database cannot be cracked without it (NIST SP 800-63B-4 section
  3.1.1.2: "an additional iteration of a keyed hashing");
- NFKC, because one person's keyboards can write one character in several ways (same section, Unicode normalisation).
"""

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from functools import lru_cache
from typing import Final

import bcrypt

from auth_common.errors import Misconfigured
from auth_common.security.local_secrets import read_or_create
from auth_common.settings import settings

#: A stored hash of a higher cost is refused unverified: at 31 a single one would keep a CPU busy for days.
HIGHEST_COST: Final = 15

_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")


def normalise_password(password: str) -> str:
    """Return the form of ``password`` that is measured, judged and hashed (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", password)


@lru_cache(maxsize=1)
def _pepper() -> bytes:
    if settings().stage != "local":
        raise Misconfigured("a deployed stage has no pepper yet: its place is Secrets Manager")
    return read_or_create(settings().storage() / "pepper", lambda: secrets.token_bytes(32))


def _bcrypt_input(password: str) -> bytes:
    digest = hmac.digest(_pepper(), normalise_password(password).encode(), hashlib.sha384)
    return base64.b64encode(digest)


def hash_password(password: str) -> str:
    """Return the bcrypt hash to store: 60 ASCII characters with the cost and a fresh 128-bit salt in it."""
    return bcrypt.hashpw(_bcrypt_input(password), bcrypt.gensalt(settings().bcrypt_cost)).decode()


def verify_password(password: str, stored_hash: str | None) -> bool:
    """Tell whether ``password`` is the one that ``stored_hash`` was made from.

    ``None`` stands for "there is no such account" and costs the same hash as a real one, so that the time of the answer
    does not tell which e-mail addresses are registered (ASVS 5.0 6.3.8). The same holds for an empty password and for
    a stored value that is not a hash of ours.
    """
    candidate = _bcrypt_input(password)
    if stored_hash is None or not _is_acceptable(stored_hash):
        bcrypt.checkpw(candidate, _decoy_hash(settings().bcrypt_cost))
        return False
    return bcrypt.checkpw(candidate, stored_hash.encode())


def needs_rehash(stored_hash: str) -> bool:
    """Tell whether ``stored_hash`` was made at a lower cost than today's setting."""
    match = _BCRYPT_HASH.fullmatch(stored_hash)
    return match is not None and int(match["cost"]) < settings().bcrypt_cost


def _is_acceptable(stored_hash: str) -> bool:
    match = _BCRYPT_HASH.fullmatch(stored_hash)
    return match is not None and int(match["cost"]) <= HIGHEST_COST


@lru_cache(maxsize=1)
def _decoy_hash(cost: int) -> bytes:
    # A well-formed hash of today's cost that nobody knows a password for: checkpw does all of its work before it
    # compares. Written and not computed, or the first unknown e-mail of each environment would cost two hashes.
    return f"$2b${cost:02d}$".encode() + b"." * 53

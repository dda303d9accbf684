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
import unicodedata
from typing import Final

import bcrypt

from auth_common.keys.shared_secrets import pepper
from auth_common.settings import settings

#: A stored hash of a higher cost is refused unverified: at 31 a single one would keep a CPU busy for days.
MAX_COST: Final = 15
#: bcrypt knows no lower one.
_MIN_COST: Final = 4

_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")


def normalise_password(password: str) -> str:
    """Return the form of ``password`` that is measured, judged and hashed (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _bcrypt_input(password: str) -> bytes:
    digest = hmac.digest(pepper(), normalise_password(password).encode(), hashlib.sha384)
    return base64.b64encode(digest)


def hash_password(password: str) -> str:
    """Return the bcrypt hash to store: 60 ASCII characters with the cost and a fresh 128-bit salt in it."""
    return bcrypt.hashpw(_bcrypt_input(password), bcrypt.gensalt(settings().bcrypt_cost)).decode()


def verify_password(password: str, stored_hash: str | None) -> bool:
    """Tell whether ``password`` is the one that ``stored_hash`` was made from.

    ``None`` stands for "there is no such account" and costs the same work as a real one, so that the time of the answer
    does not tell which e-mail addresses are registered (ASVS 5.0 6.3.8). The same holds for an empty password, for a
    stored value that is not a hash of ours, and for a hash from before the cost was raised.
    """
    candidate = _bcrypt_input(password)
    current_cost = settings().bcrypt_cost
    cost = _read_cost(stored_hash) if stored_hash is not None else None
    if stored_hash is None or cost is None or not _MIN_COST <= cost <= MAX_COST:
        bcrypt.checkpw(candidate, _decoy_hash(current_cost))
        return False
    matches = bcrypt.checkpw(candidate, stored_hash.encode())
    # A hash of cost c takes 2^c rounds, and 2^c + 2^c + 2^(c+1) + ... + 2^(n-1) = 2^n. Also after a match: a disabled
    # account, which the right password does not open, must look like one that is not there.
    for missing in range(cost, current_cost):
        bcrypt.checkpw(candidate, _decoy_hash(missing))
    return matches


def needs_rehash(stored_hash: str) -> bool:
    """Tell whether ``stored_hash`` was made at a lower cost than current_cost's setting."""
    cost = _read_cost(stored_hash)
    return cost is not None and cost < settings().bcrypt_cost


def _read_cost(stored_hash: str) -> int | None:
    match = _BCRYPT_HASH.fullmatch(stored_hash)
    return int(match["cost"]) if match else None


def _decoy_hash(cost: int) -> bytes:
    # A well-formed hash that nobody knows a password for: checkpw does all of its work before it compares. Written and
    # not computed, or the first unknown e-mail of each environment would cost two hashes.
    return f"$2b${cost:02d}$".encode() + b"." * 53

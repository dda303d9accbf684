"""Hash and verify passwords. Only this module imports ``bcrypt``.

The stored hash is ``bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password))))``, for these reasons:

- bcrypt reads at most 72 bytes. The HMAC makes every character of a longer password count. Base64 of SHA-384 has 64
  bytes and no NUL.
- The pepper is not in the database, so an attacker cannot crack the hashes of a stolen database without the pepper
  (NIST SP 800-63B-4 section 3.1.1.2: "an additional iteration of a keyed hashing").
- Two keyboards can encode the same character differently. NFKC makes both encodings equal (same section, Unicode
  normalisation).
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

#: Stored hashes with a higher cost are rejected without a verification, which at cost 31 would use a CPU for days.
MAX_COST: Final = 15
#: The minimum that bcrypt supports.
_MIN_COST: Final = 4

_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")


def normalise_password(password: str) -> str:
    """Return ``password`` in Unicode NFKC. Length, strength and hash are computed from this form."""
    return unicodedata.normalize("NFKC", password)


def _bcrypt_input(password: str) -> bytes:
    digest = hmac.digest(pepper(), normalise_password(password).encode(), hashlib.sha384)
    return base64.b64encode(digest)


def hash_password(password: str) -> str:
    """Return the bcrypt hash to store: 60 ASCII characters that contain the cost and a new 128-bit salt."""
    return bcrypt.hashpw(_bcrypt_input(password), bcrypt.gensalt(settings().bcrypt_cost)).decode()


def verify_password(password: str, stored_hash: str | None) -> bool:
    """Return whether ``stored_hash`` was made from ``password``.

    Pass None as ``stored_hash`` if there is no such account. Every call does the same work, so that the response time
    does not reveal which e-mail addresses are registered (ASVS 5.0 6.3.8). This includes calls with None, an empty
    password, a malformed hash, or a hash of a lower cost than the current setting.
    """
    candidate = _bcrypt_input(password)
    current_cost = settings().bcrypt_cost
    cost = _read_cost(stored_hash) if stored_hash is not None else None
    if stored_hash is None or cost is None or not _MIN_COST <= cost <= MAX_COST:
        bcrypt.checkpw(candidate, _decoy_hash(current_cost))
        return False
    matches = bcrypt.checkpw(candidate, stored_hash.encode())
    # A hash of cost c takes 2^c rounds, and 2^c + 2^c + 2^(c+1) + ... + 2^(n-1) = 2^n. The missing rounds also run
    # after a match, because a login to a disabled account must take as long as a login to an unknown address.
    for missing in range(cost, current_cost):
        bcrypt.checkpw(candidate, _decoy_hash(missing))
    return matches


def unusable_hash() -> str:
    """Return a hash that no password has, for an account whose password must not work until it is reset.

    Its verification does the same work as that of a wrong password, and fails.
    """
    return _decoy_hash(settings().bcrypt_cost).decode()


def needs_rehash(stored_hash: str) -> bool:
    """Return whether ``stored_hash`` has a lower cost than the current setting."""
    cost = _read_cost(stored_hash)
    return cost is not None and cost < settings().bcrypt_cost


def _read_cost(stored_hash: str) -> int | None:
    match = _BCRYPT_HASH.fullmatch(stored_hash)
    return int(match["cost"]) if match else None


def _decoy_hash(cost: int) -> bytes:
    # A well-formed hash without a known password. ``checkpw`` does all of its work before it compares. The hash is a
    # literal, because computing one would make the first login to an unknown address cost two hashes.
    return f"$2b${cost:02d}$".encode() + b"." * 53

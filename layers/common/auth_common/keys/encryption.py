"""Authenticated encryption with AES-256-GCM (NIST SP 800-38D)."""

import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: 96 random bits. Each key encrypts far fewer than 2^32 texts (NIST SP 800-38D section 8.3).
_NONCE_BYTES: Final = 12


def encrypt(plaintext: bytes, *, key: bytes, bound_to: bytes = b"") -> bytes:
    """Return a random nonce and the ciphertext.

    Args:
        plaintext: what is encrypted.
        key: 32 bytes.
        bound_to: what the ciphertext belongs to, such as an id. ``decrypt`` needs the same value.

    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, bound_to)


def decrypt(encrypted: bytes, *, key: bytes, bound_to: bytes = b"") -> bytes:
    """Return what ``encrypt`` encrypted.

    Raises:
        cryptography.exceptions.InvalidTag: the key or ``bound_to`` differs, or the ciphertext was changed.
        ValueError: the ciphertext is too short.

    """
    return AESGCM(key).decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], bound_to)

"""The ``local`` stage's key store: ``keys/signing-key.pem`` (private, 0600) and ``keys/jwks.json`` (public).

Rotation keeps every token valid: the new public key is published before anything is signed with its private half, and
the old one stays published until its last token has expired.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import Misconfigured, ServiceUnavailable
from auth_common.file_lock import exclusive_lock
from auth_common.keys.jwk import JWK, public_jwk
from auth_common.keys.local_secrets import read_or_create, read_private, write_atomically
from auth_common.keys.verification_keys import JWKS_FILE
from auth_common.settings import settings

_PRIVATE_KEY_FILE: Final = "keys/signing-key.pem"


def local_signing_key() -> ec.EllipticCurvePrivateKey:
    """Return the private key, made and published at first use. After a rotation, return the new one.

    Raises:
        Misconfigured: one of the two files cannot be used; the text names it.
        StorageNotMounted: there is no storage.
        ServiceUnavailable: the storage cannot be written to.

    """
    path = settings().storage() / _PRIVATE_KEY_FILE
    if not path.exists():
        read_or_create(path, _new_private_key)
    key, jwk = _read(path, *_file_version(path))
    if not _is_published(jwk):
        _publish(path)
    return key


def rotate_local_key() -> str:
    """Replace the signing key, also while the service runs, and return the new key id.

    Each step leaves a state that works, so being cut off between two of them harms nothing: at worst the old key stays
    published until the next rotation.

    Raises:
        Misconfigured, StorageNotMounted: as for ``local_signing_key``.
        ServiceUnavailable: the storage cannot be written to.

    """
    local_signing_key()
    path = settings().storage() / _PRIVATE_KEY_FILE
    with _lock(path.parent):
        new_pem = _new_private_key()
        new = public_jwk(_load(new_pem, path).public_key())
        kept = _unexpired(_published())
        write_atomically(_jwks_file(), _jwks_document([new, *kept]))
        write_atomically(path, new_pem)
        write_atomically(_jwks_file(), _jwks_document([new, *_with_expiry(kept)]))
    kid: str = new["kid"]
    return kid


def _publish(path: Path) -> None:
    """Publish the signing key: at first use, and after one of the two files was lost or restored from a backup."""
    with _lock(path.parent):
        _, jwk = _read(path, *_file_version(path))  # a rotation may have replaced it meanwhile
        others = [other for other in _unexpired(_published()) if other["kid"] != jwk["kid"]]
        write_atomically(_jwks_file(), _jwks_document([jwk, *_with_expiry(others)]))


def _is_published(jwk: JWK) -> bool:
    """Tell whether the JWK Set has this key as one that does not expire."""
    return any(other["kid"] == jwk["kid"] and "exp" not in other for other in _published())


def _published() -> list[JWK]:
    path = _jwks_file()
    return _read_jwks(path, *_file_version(path)) if path.exists() else []


def _unexpired(keys: list[JWK]) -> list[JWK]:
    now = time.time()
    return [jwk for jwk in keys if jwk.get("exp", now + 1) > now]


def _with_expiry(keys: list[JWK]) -> list[JWK]:
    """Let keys that sign no more expire with the last token that they may have signed."""
    last_token_expires = int(time.time()) + settings().access_token_lifetime + settings().clock_leeway
    return [{"exp": last_token_expires, **jwk} for jwk in keys]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        with exclusive_lock(folder / "rotate.lock"):
            yield
    except OSError as error:
        raise ServiceUnavailable from error


def _file_version(path: Path) -> tuple[int, int]:
    """Return what differs after a change of the file."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int, _inode: int) -> tuple[ec.EllipticCurvePrivateKey, JWK]:
    key = _load(read_private(path), path)
    return key, public_jwk(key.public_key())


@lru_cache(maxsize=1)
def _read_jwks(path: Path, _modified: int, _inode: int) -> list[JWK]:
    try:
        keys: list[JWK] = json.loads(path.read_bytes())["keys"]
        _unexpired(keys)  # fails here, and not later, for an "exp" that is no number
        if all(isinstance(jwk["kid"], str) for jwk in keys):
            return keys
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    message = f"{path}: not a JWK Set. Delete it: the service publishes its signing key again"
    raise Misconfigured(message)


def _load(pem: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        message = (
            f"{path}: must be a private key on the curve P-256, as PEM without a passphrase. Restore it from a backup, "
            "or delete it: a new key is made, and tokens of the old one stay valid until they expire"
        )
        raise Misconfigured(message)
    return key


def _new_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _jwks_file() -> Path:
    return settings().storage() / JWKS_FILE


def _jwks_document(keys: list[JWK]) -> bytes:
    return json.dumps({"keys": keys}).encode()

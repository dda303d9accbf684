"""The key store of the ``local`` stage: ``keys/signing-key.pem`` (private, mode 0600) and ``keys/jwks.json`` (public).

Tokens stay valid during a rotation. The new public key is published before the first signature with its private key,
and the old public key stays published until its last token has expired.
"""

import errno
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
#: The errors of a path that leads to no file.
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class _Files:
    private_key: Path
    jwks: Path


def local_signing_key() -> ec.EllipticCurvePrivateKey:
    """Return the private key. Create and publish it at the first use. After a rotation, return the new key.

    Raises:
        Misconfigured: one of the two files cannot be used. The text names the file.
        StorageNotMounted: there is no storage.
        ServiceUnavailable: the storage cannot be written to.

    """
    files = _files(settings().data_dir)
    version = _file_version(files.private_key)
    if version is None:
        # Without a data folder, this raises StorageNotMounted. With one, only the file is missing.
        settings().storage()
        read_or_create(files.private_key, _new_private_key)
        version = _file_version(files.private_key)
    key, jwk = _read(files.private_key, version)
    if not _is_published(jwk, files):
        _publish(files)
    return key


def rotate_local_key() -> str:
    """Replace the signing key and return the new key id. The service may run during the rotation.

    An interruption between two steps is harmless, because each step leaves a valid state. At worst, the old key stays
    published until the next rotation.

    Raises:
        Misconfigured, StorageNotMounted: as for ``local_signing_key``.
        ServiceUnavailable: the storage cannot be written to.

    """
    local_signing_key()
    files = _files(settings().data_dir)
    with _lock(files):
        new_pem = _new_private_key()
        new = public_jwk(_load(new_pem, files.private_key).public_key())
        kept = _unexpired(_published(files))
        write_atomically(files.jwks, _jwks_document([new, *kept]))
        write_atomically(files.private_key, new_pem)
        write_atomically(files.jwks, _jwks_document([new, *_with_expiry(kept)]))
    kid: str = new["kid"]
    return kid


def _publish(files: _Files) -> None:
    """Publish the signing key, at its first use or after a file was lost or restored from a backup."""
    with _lock(files):
        # Read again under the lock, because a concurrent rotation may have replaced the key.
        _, jwk = _read(files.private_key, _file_version(files.private_key))
        others = [other for other in _unexpired(_published(files)) if other["kid"] != jwk["kid"]]
        write_atomically(files.jwks, _jwks_document([jwk, *_with_expiry(others)]))


def _is_published(jwk: JWK, files: _Files) -> bool:
    """Return whether the JWK Set contains this key without an expiry."""
    return any(other["kid"] == jwk["kid"] and "exp" not in other for other in _published(files))


def _published(files: _Files) -> list[JWK]:
    version = _file_version(files.jwks)
    return _read_jwks(files.jwks, version) if version else []


def _unexpired(keys: list[JWK]) -> list[JWK]:
    now = time.time()
    return [jwk for jwk in keys if jwk.get("exp", now + 1) > now]


def _with_expiry(keys: list[JWK]) -> list[JWK]:
    """Return keys that no longer sign, each with ``exp``: the time at which the last token signed with it expires."""
    last_token_expires = int(time.time()) + settings().access_token_lifetime + settings().clock_leeway
    return [{"exp": last_token_expires, **jwk} for jwk in keys]


@contextmanager
def _lock(files: _Files) -> Iterator[None]:
    try:
        with exclusive_lock(files.private_key.with_name("rotate.lock")):
            yield
    except OSError as error:
        raise ServiceUnavailable from error


def _file_version(path: Path) -> tuple[int, int] | None:
    """Return the modification time and inode of a file, of which at least one differs after a change.

    Return None if there is no file, or a link that leads to none.

    Raises:
        OSError: the state cannot be read. The file may exist, so it must not be replaced.

    """
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None
    return status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=1)
def _read(path: Path, _version: tuple[int, int] | None) -> tuple[ec.EllipticCurvePrivateKey, JWK]:
    key = _load(read_private(path), path)
    return key, public_jwk(key.public_key())


@lru_cache(maxsize=1)
def _read_jwks(path: Path, _version: tuple[int, int]) -> list[JWK]:
    try:
        keys: list[JWK] = json.loads(path.read_bytes())["keys"]
        # Raises here, and not at a later use, if an "exp" is not a number.
        _unexpired(keys)
        if all(isinstance(jwk["kid"], str) for jwk in keys):
            return keys
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    message = f"{path}: not a JWK Set. Delete the file, and the service publishes its signing key again"
    raise Misconfigured(message)


def _load(pem: bytes, path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        message = (
            f"{path}: must be a private key on the curve P-256, as PEM without a passphrase. Restore the file from a "
            "backup, or delete it. Then the service makes a new key, and tokens of the old key stay valid until they "
            "expire"
        )
        raise Misconfigured(message)
    return key


def _new_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(maxsize=1)
def _files(folder: Path) -> _Files:
    """Return the files of a data folder. The paths are kept, because each signature hashes them for ``_read``."""
    return _Files(private_key=folder / _PRIVATE_KEY_FILE, jwks=folder / JWKS_FILE)


def _jwks_document(keys: list[JWK]) -> bytes:
    return json.dumps({"keys": keys}).encode()

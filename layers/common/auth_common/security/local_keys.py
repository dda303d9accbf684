"""The ``local`` stage's key store: ``keys/signing-key.pem`` (private, 0600) and ``keys/jwks.json`` (public).

Rotation keeps every token valid: the new public key is published before anything is signed with its private half, and
the old one stays published until its last token has expired.
"""

import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.file_lock import exclusive_lock
from auth_common.security.jwk import JWK, public_jwk
from auth_common.security.local_secrets import read_or_create, replace
from auth_common.security.verification_keys import JWKS_FILE
from auth_common.settings import settings

_PRIVATE_KEY_FILE: Final = "keys/signing-key.pem"


def local_signing_key() -> ec.EllipticCurvePrivateKey:
    """Return the private key, made and published at first use; after a rotation, the new one.

    Raises:
        StorageNotMounted: there is no storage.

    """
    path = settings().storage() / _PRIVATE_KEY_FILE
    if not path.exists():
        read_or_create(path, _new_private_key)
    if not _jwks_file().exists():
        public = public_jwk(_load(path.read_bytes()).public_key())
        read_or_create(_jwks_file(), lambda: json.dumps({"keys": [public]}).encode())
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_ino)


def rotate_local_key() -> str:
    """Replace the signing key, also while the service runs, and return the new key id.

    Each step leaves a state that works, so being cut off between two of them harms nothing: at worst the old key stays
    published until the next rotation.

    Raises:
        StorageNotMounted: there is no storage.
        ServiceUnavailable: it cannot be written to.

    """
    local_signing_key()
    path = settings().storage() / _PRIVATE_KEY_FILE
    with exclusive_lock(path.parent / "rotate.lock"):
        new_pem = _new_private_key()
        new = public_jwk(_load(new_pem).public_key())
        now = int(time.time())
        kept = [jwk for jwk in json.loads(_jwks_file().read_text())["keys"] if jwk.get("exp", now + 1) > now]
        replace(_jwks_file(), _jwks_document([new, *kept]))
        replace(path, new_pem)
        last_token_expires = now + settings().access_token_lifetime + settings().clock_leeway
        retired = [{"exp": last_token_expires, **jwk} for jwk in kept]
        replace(_jwks_file(), _jwks_document([new, *retired]))
    kid: str = new["kid"]
    return kid


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int, _inode: int) -> ec.EllipticCurvePrivateKey:
    return _load(path.read_bytes())


def _load(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the signing key is not an EC key")
    return key


def _new_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _jwks_file() -> Path:
    return settings().storage() / JWKS_FILE


def _jwks_document(keys: list[JWK]) -> bytes:
    return json.dumps({"keys": keys}).encode()

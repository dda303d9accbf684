"""Verification keys: the public halves that verify our tokens, by key id.

A deployed stage has them in its environment (JWKS), so that the authorizer needs neither KMS nor boto3; the ``local``
stage reads the file that its key store publishes. A retired key carries ``exp``: when its last token has expired, it
verifies nothing any more and leaves the JWK Set.
"""

import time
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import Misconfigured
from auth_common.keys.jwk import JWK, is_key_id, may_verify, public_key
from auth_common.settings import settings
from auth_common.strict_json import parse_strict_json

JWKS_FILE = "keys/jwks.json"

_Keys: TypeAlias = dict[str, tuple[JWK, ec.EllipticCurvePublicKey]]


def published_jwks() -> dict[str, list[JWK]]:
    """Return the JWK Set for the world: public keys that are in force.

    Raises:
        Misconfigured: a deployed stage has no keys, or the set is not one of public keys.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    return {"keys": [jwk for jwk, _ in _keys().values() if _in_force(jwk)]}


def verification_key(kid: str) -> ec.EllipticCurvePublicKey | None:
    """Return the public key with this key id, or ``None`` where no such key is in force."""
    jwk, key = _keys().get(kid, (None, None)) if is_key_id(kid) else (None, None)
    return key if jwk is not None and _in_force(jwk) else None


def _in_force(jwk: JWK) -> bool:
    return "exp" not in jwk or time.time() < jwk["exp"]


def _keys() -> _Keys:
    if settings().jwks is not None:
        return _parse(settings().jwks or "", "JWKS")
    if settings().stage != "local":
        raise Misconfigured("JWKS: a deployed stage has its public keys in the environment")
    path = settings().storage() / JWKS_FILE
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}  # the service has not signed a token yet
    # Looking at the file's state at each call costs microseconds, and a rotation needs no restart.
    return _read(path, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int, _inode: int) -> _Keys:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        text = ""
    return _parse(text, str(path))


@lru_cache(maxsize=2)
def _parse(text: str, source: str) -> _Keys:
    # Once for each JWK Set: a prepared key verifies in half the time of one read from text.
    try:
        keys = parse_strict_json(text.encode())["keys"]
        found = {jwk["kid"]: (jwk, public_key(jwk)) for jwk in keys if may_verify(jwk)}
        for jwk, _ in found.values():
            _in_force(jwk)  # fails here, and not at each token, where "exp" is no number
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Without the cause, which may quote the set: it may hold a private key.
        message = f"{source}: not a set of public keys"
        raise Misconfigured(message) from None
    return found

"""The public keys that verify this service's tokens, by key id.

A deployed stage has them in the setting ``JWKS``, so the authorizer needs neither KMS nor boto3. The ``local`` stage
reads the file that its key store publishes. A key that no longer signs has the member ``exp``. From this time on, the
key verifies no token and is not published.
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
    """Return the JWK Set to publish, with all keys that have not expired.

    Raises:
        Misconfigured: a deployed stage has no keys, or the configured set is not a set of public keys.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    return {"keys": [jwk for jwk, _ in _keys().values() if _is_unexpired(jwk)]}


def verification_key(kid: str) -> ec.EllipticCurvePublicKey | None:
    """Return the public key with this key id. Return None if there is none, or if the key has expired."""
    jwk, key = _keys().get(kid, (None, None)) if is_key_id(kid) else (None, None)
    return key if jwk is not None and _is_unexpired(jwk) else None


def _is_unexpired(jwk: JWK) -> bool:
    return "exp" not in jwk or time.time() < jwk["exp"]


def _keys() -> _Keys:
    if settings().jwks is not None:
        return _parse(settings().jwks or "", "JWKS")
    if settings().stage != "local":
        raise Misconfigured("JWKS: a deployed stage needs its public keys in this environment variable")
    path = settings().storage() / JWKS_FILE
    try:
        status = path.stat()
    except FileNotFoundError:
        # The service has not signed a token yet.
        return {}
    # Checking the file's state in each call takes microseconds, and makes a rotation take effect without a restart.
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
    # Cached per JWK Set, because a verification with a parsed key takes half the time of one that parses the key first.
    try:
        keys = parse_strict_json(text.encode())["keys"]
        found = {jwk["kid"]: (jwk, public_key(jwk)) for jwk in keys if may_verify(jwk)}
        for jwk, _ in found.values():
            # Raises here, and not at each token, if "exp" is not a number.
            _is_unexpired(jwk)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Without the cause, whose text may quote the set, because the set may contain a private key.
        message = f"{source}: not a set of public keys"
        raise Misconfigured(message) from None
    return found

"""The public keys, for whoever verifies our tokens."""

from typing import Any

from auth_common.security.signing_keys import signing_key
from auth_common.security.verification_keys import published_jwks
from auth_common.settings import settings


def public_key_set() -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set (RFC 7517 section 5): public keys only.

    Raises:
        Misconfigured: a deployed stage has no keys.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    if settings().stage == "local":
        signing_key()  # publishes the key, if nobody has logged in yet
    return published_jwks()

"""The public keys, for whoever verifies our tokens."""

from typing import Any

from auth_common.security import signing_keys


def public_key_set() -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set (RFC 7517 section 5): public keys only.

    Raises:
        StorageNotMounted: the ``local`` stage has no storage.

    """
    return signing_keys.published_jwks()

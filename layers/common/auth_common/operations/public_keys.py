"""Return the public keys for services that verify access tokens."""

from collections.abc import Sequence
from typing import Any

from auth_common.keys.jwk import public_jwk, public_key_pem
from auth_common.keys.kms import KMSKey
from auth_common.keys.signing_key import signing_key
from auth_common.keys.verification_keys import published_jwks
from auth_common.settings import settings


def public_key_set() -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set of this service (RFC 7517 section 5), with public keys only.

    Raises:
        Misconfigured: a deployed stage has no keys.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    if settings().stage == "local" and settings().jwks is None:
        # Creates and publishes the key, if no token has been signed yet.
        signing_key()
    return published_jwks()


def public_key_pems() -> dict[str, str]:
    """Return the published keys as PEM by key id, for verifiers that read no JWK Set.

    Raises:
        Misconfigured, StorageNotMounted: as for ``public_key_set``.

    """
    return {jwk["kid"]: public_key_pem(jwk) for jwk in public_key_set()["keys"]}


def kms_public_key_set(arns: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set of keys in KMS. A deployment stores it in the functions' environment.

    Raises:
        ServiceUnavailable: KMS throttles or rejects the call, or is unavailable.
        TypeError: one of the keys is not an EC key.

    """
    return {"keys": [public_jwk(KMSKey(arn).public_key()) for arn in arns]}

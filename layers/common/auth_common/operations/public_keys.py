"""The public keys, for services that verify our tokens."""

from collections.abc import Sequence
from typing import Any

from auth_common.keys.jwk import public_jwk
from auth_common.keys.kms import KMSKey
from auth_common.keys.signing_key import signing_key
from auth_common.keys.verification_keys import published_jwks
from auth_common.settings import settings


def public_key_set() -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set (RFC 7517 section 5): public keys only.

    Raises:
        Misconfigured: a deployed stage has no keys.
        StorageNotMounted: the ``local`` stage has no storage.

    """
    if settings().stage == "local":
        signing_key()  # publishes the key, if no user has logged in yet
    return published_jwks()


def kms_public_key_set(arns: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the JWK Set of keys in KMS, for the deployment to publish.

    Raises:
        ServiceUnavailable: KMS throttles, refuses or is away.
        TypeError: one of them is not an EC key.

    """
    return {"keys": [public_jwk(KMSKey(arn).public_key()) for arn in arns]}

"""The key that signs tokens: in AWS KMS on deployed stages, in a file on the ``local`` stage."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import Misconfigured
from auth_common.keys.jwk import public_jwk
from auth_common.keys.kms import KMSKey
from auth_common.keys.local_keys import local_signing_key
from auth_common.settings import settings

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | KMSKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, or a reference to one in KMS, with its key id."""

    kid: str
    private_key: PrivateKey


def signing_key() -> SigningKey:
    """Return the current signing key of access tokens and MFA tokens.

    Raises:
        Misconfigured: a deployed stage has no ``SIGNING_KEY_ARN``.
        StorageNotMounted: the ``local`` stage has no storage.
        ServiceUnavailable: KMS is unavailable, or the storage cannot be written to.

    """
    arn = settings().signing_key_arn
    if arn is not None:
        return _identify(_kms_key(arn))
    if settings().stage != "local":
        raise Misconfigured("SIGNING_KEY_ARN: a deployed stage needs the ARN of a key in KMS")
    return _identify(local_signing_key())


@lru_cache
def _kms_key(arn: str) -> KMSKey:
    return KMSKey(arn)


@lru_cache(maxsize=2)
def _identify(key: PrivateKey) -> SigningKey:
    return SigningKey(kid=public_jwk(key.public_key())["kid"], private_key=key)

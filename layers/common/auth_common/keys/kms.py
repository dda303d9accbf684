"""A signing key in AWS KMS. The private key never leaves the HSM, so each signature is an API call.

With ``MessageType=RAW``, KMS computes the digest itself, so a caller cannot make it sign the digest of another message.
Tests use moto, which signs correctly with RAW only.
"""

from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.aws_calls import call_aws


class KMSKey:
    """A KMS key of type ECC_NIST_P256, with those methods of a ``cryptography`` private key that signing needs."""

    curve = ec.SECP256R1()

    def __init__(self, arn: str) -> None:
        """Store the key's ARN, id or alias ARN. The constructor does not call KMS."""
        self._arn = arn

    def sign(self, data: bytes, _algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the ECDSA signature of ``data`` with SHA-256, in DER.

        Raises:
            ServiceUnavailable: KMS throttles or rejects the call, or is unavailable.

        """
        response = call_aws(
            "kms", "sign", KeyId=self._arn, Message=data, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256"
        )
        signature: bytes = response["Signature"]
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key. Each environment calls KMS for it once.

        Raises:
            ServiceUnavailable: KMS throttles or rejects the call, or is unavailable.
            TypeError: the KMS key is not an EC key.

        """
        return _public_key(self._arn)


@lru_cache
def _public_key(arn: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_der_public_key(call_aws("kms", "get_public_key", KeyId=arn)["PublicKey"])
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the KMS key is not an EC key")
    return key

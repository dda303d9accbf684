"""A signing key in AWS KMS: the private half never leaves the HSM, each signature is an API call.

Tried with moto, which signs correctly for ``MessageType=RAW`` only; RAW also means that KMS computes the digest and
nobody can have it sign a digest of something else.
"""

from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.aws_calls import call_aws


class KMSKey:
    """An ECC_NIST_P256 key with the few methods of a ``cryptography`` private key that signing takes."""

    curve = ec.SECP256R1()

    def __init__(self, arn: str) -> None:
        """Take the key's ARN (or id, or alias ARN). No call is made yet."""
        self._arn = arn

    def sign(self, data: bytes, _algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return KMS's ECDSA signature with SHA-256 over ``data``, in DER.

        Raises:
            ServiceUnavailable: KMS throttles, refuses or is away.

        """
        request = {"KeyId": self._arn, "Message": data, "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
        signature: bytes = call_aws("kms", "sign", **request)["Signature"]
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half, asked once an environment.

        Raises:
            ServiceUnavailable: KMS throttles, refuses or is away.

        """
        return _public_key(self._arn)


@lru_cache
def _public_key(arn: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_der_public_key(call_aws("kms", "get_public_key", KeyId=arn)["PublicKey"])
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the KMS key is not an EC key")
    return key

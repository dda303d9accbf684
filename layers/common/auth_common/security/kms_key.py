"""A signing key in AWS KMS: the private half never leaves the HSM, each signature is an API call.

Tried with moto, which signs correctly for ``MessageType=RAW`` only; RAW also means that KMS computes the digest and
nobody can have it sign a digest of something else.
"""

from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import ServiceUnavailable

#: Seconds. A sign call takes about 10 ms. Three tries, with up to three seconds of pauses between them, must end before
#: Lambda ends the function at 10.
_TIMEOUT = 1


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
        signature: bytes = _call("sign", **request)["Signature"]
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half, asked once an environment.

        Raises:
            ServiceUnavailable: KMS throttles, refuses or is away.

        """
        return _public_key(self._arn)


@lru_cache
def _public_key(arn: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_der_public_key(_call("get_public_key", KeyId=arn)["PublicKey"])
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the KMS key is not an EC key")
    return key


def _call(operation: str, **request: Any) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see _client

    try:
        response: dict[str, Any] = getattr(_client(), operation)(**request)
    except (BotoCoreError, ClientError) as error:
        raise ServiceUnavailable from error
    return response


@lru_cache(maxsize=1)
def _client() -> Any:
    # boto3 comes with Lambda's runtime and takes 425 ms to import: only where KMS is used, when it is first used.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return boto3.client("kms", config=config)

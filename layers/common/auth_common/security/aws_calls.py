"""Calls to AWS: the one module that uses boto3."""

from functools import lru_cache
from typing import Any, Final

from auth_common.errors import ServiceUnavailable

#: Seconds. A call takes about 10 ms. Three tries, with up to three seconds of pauses between them, must end before
#: Lambda ends the function at 10.
_TIMEOUT: Final = 1


def call_aws(service: str, operation: str, **request: Any) -> Any:
    """Return what ``operation`` of ``service`` answers; both by boto3's names, such as ``kms`` and ``sign``.

    For most operations it is a ``dict``.

    Raises:
        ServiceUnavailable: the service throttles, refuses or is away. The cause is chained; the log has it.

    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(aws_client(service), operation)(**request)
    except (BotoCoreError, ClientError) as error:
        raise ServiceUnavailable from error


@lru_cache
def aws_client(service: str) -> Any:
    """Return boto3's client, one for each environment and service."""
    # boto3 comes with Lambda's runtime and takes 425 ms to import: only where AWS is used, when it is first used.
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return boto3.client(service, config=config)

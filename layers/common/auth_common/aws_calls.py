"""Calls to AWS: the one module that uses boto3."""

import re
from functools import lru_cache
from typing import Any, Final

from auth_common.errors import ServiceUnavailable

#: Seconds. A call takes about 10 ms. Three tries, with up to three seconds of pauses between them, must end before
#: Lambda ends the function at 10.
_TIMEOUT: Final = 1
#: The region in an ARN, and in the endpoint of an Aurora DSQL cluster.
_REGION: Final = re.compile(r"arn:[a-z-]+:[a-z0-9-]+:([a-z0-9-]+):|.+\.dsql[^.]*\.([a-z0-9-]+)\.on\.aws$")


def call_aws(service: str, operation: str, **request: Any) -> Any:
    """Call AWS and return the response, for most operations a ``dict``.

    The call goes to the region of the ARN or endpoint in the request, because an operator's own region may be another.
    A request without one goes to boto3's default region.

    Args:
        service: boto3's name, such as ``kms``.
        operation: boto3's name, such as ``sign``.
        request: The parameters of the operation.

    Raises:
        ServiceUnavailable: The service throttles, rejects the request or is away. The cause is chained for the log.

    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(aws_client(service, _region_in(request)), operation)(**request)
    except (BotoCoreError, ClientError) as error:
        raise ServiceUnavailable from error


def _region_in(request: dict[str, Any]) -> str | None:
    found = (_REGION.match(value) for value in request.values() if isinstance(value, str))
    return next((match[1] or match[2] for match in found if match), None)


def load_boto3() -> None:
    """Import what the first call imports."""
    import boto3  # noqa: F401
    import botocore.config  # noqa: F401
    import botocore.exceptions  # noqa: F401


@lru_cache
def aws_client(service: str, region: str | None) -> Any:
    """Return boto3's client, one for each service and region of an environment.

    Args:
        service: boto3's name, such as ``kms``.
        region: Such as ``eu-central-1``. None: boto3's default.

    """
    # boto3 comes with Lambda's runtime and takes 425 ms to import: only where AWS is used, when it is first used.
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return boto3.client(service, region_name=region, config=config)

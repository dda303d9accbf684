"""Calls to AWS. Only this module uses boto3."""

import re
from functools import lru_cache
from typing import Any, Final

from auth_common.errors import ServiceUnavailable

#: A call takes about 10 ms. Three tries, with up to three seconds of pauses between them, must end before Lambda ends
#: the function after 10 seconds.
_TIMEOUT_SECONDS: Final = 1
_TRIES: Final = 3
#: The region in an ARN, and in the endpoint of an Aurora DSQL cluster.
_REGION: Final = re.compile(r"arn:[a-z-]+:[a-z0-9-]+:([a-z0-9-]+):|.+\.dsql[^.]*\.([a-z0-9-]+)\.on\.aws$")


def call_aws(
    service: str, operation: str, *, tries: int = _TRIES, timeout: float = _TIMEOUT_SECONDS, **request: Any
) -> Any:
    """Call AWS and return the response, for most operations a ``dict``.

    The call goes to the region of the ARN or endpoint in the request, because an operator's own region may differ. A
    request without ARN or endpoint goes to boto3's default region.

    Args:
        service: boto3's name, such as ``kms``.
        operation: boto3's name, such as ``sign``.
        tries: How often the call is made if AWS throttles it or does not respond in time.
        timeout: Seconds to wait for a response.
        request: The parameters of the operation.

    Raises:
        ServiceUnavailable: The service throttles, rejects the request or is away. The cause is chained for the log.

    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(aws_client(service, _region_in(request), tries, timeout), operation)(**request)
    except (BotoCoreError, ClientError) as error:
        raise ServiceUnavailable from error


def error_code(error: ServiceUnavailable) -> str | None:
    """Return AWS's code of an error that ``call_aws`` has raised. Return None if there was no response."""
    response = getattr(error.__cause__, "response", None) or {}
    code: str | None = response.get("Error", {}).get("Code")
    return code


def _region_in(request: dict[str, Any]) -> str | None:
    found = (_REGION.match(value) for value in request.values() if isinstance(value, str))
    return next((match[1] or match[2] for match in found if match), None)


def load_boto3() -> None:
    """Import the modules that the first call would import."""
    import boto3  # noqa: F401
    import botocore.config  # noqa: F401
    import botocore.exceptions  # noqa: F401


def aws_client(service: str, region: str | None, tries: int = _TRIES, timeout: float = _TIMEOUT_SECONDS) -> Any:
    """Return boto3's client for a service and region. An environment has one of each kind.

    Args:
        service: boto3's name, such as ``kms``.
        region: A name such as ``eu-central-1``. None means boto3's default.
        tries: As for ``call_aws``.
        timeout: As for ``call_aws``.

    """
    return _client(service, region, tries, timeout)


@lru_cache
def _client(service: str, region: str | None, tries: int, timeout: float) -> Any:
    # boto3 is a part of Lambda's runtime. Its import takes 425 ms, so it is imported at the first call.
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": tries},
    )
    return boto3.client(service, region_name=region, config=config)

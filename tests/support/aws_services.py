"""Make KMS or Secrets Manager return errors, hang or be unreachable, for boto3's own client and its retries."""

import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from auth_common.aws_calls import aws_client
from auth_common.mail import ses

#: The AWS region of all tests.
REGION: Final = "eu-central-1"


def _client(service: str) -> Any:
    """Return the client that the service uses."""
    if service == "sesv2":
        return aws_client(service, None, tries=1, timeout=ses.SECONDS)
    return aws_client(service, REGION, tries=1) if service == "lambda" else aws_client(service, REGION)


@contextmanager
def returning_error(
    error: str, *, service: str = "kms", operation: str = "*", times: int | None = None
) -> Iterator[None]:
    """Return ``error`` for each request while the block runs, or for the first ``times`` requests."""
    tries = count()

    def refuse(**_: Any) -> AWSResponse | None:
        if times is not None and next(tries) >= times:
            return None
        body = io.BytesIO(f'{{"__type": "{error}"}}'.encode())
        return AWSResponse("https://aws.example", 400, HTTPHeaders(), HTTPResponse(body, preload_content=False))

    with _handling("before-send", refuse, service, operation):
        yield


@contextmanager
def redirected(url: str, *, service: str = "kms") -> Iterator[None]:
    """Send each request to ``url`` instead while the block runs."""

    def redirect(request: AWSRequest, **_: Any) -> None:
        request.url = url

    with _handling("request-created", redirect, service, "*"):
        yield


@contextmanager
def _handling(name: str, handler: Callable[..., Any], service: str, operation: str) -> Iterator[None]:
    events = _client(service).meta.events
    event = f"{name}.{service}.{operation}"
    events.register_first(event, handler)
    yield
    events.unregister(event, handler)


@contextmanager
def unresponsive(*, service: str = "kms") -> Iterator[None]:
    """Send each request to a server that never responds while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with redirected(url, service=service):
            yield


def with_each_outage(service: str) -> pytest.MarkDecorator:
    """Run a test three times. ``trouble`` is a context manager: the service throttles, hangs or is unreachable."""
    troubles = {
        "throttled": partial(returning_error, "ThrottlingException", service=service),
        "hanging": partial(unresponsive, service=service),
        "away": partial(redirected, "http://127.0.0.1:9", service=service),
    }
    return pytest.mark.parametrize("trouble", troubles.values(), ids=troubles)

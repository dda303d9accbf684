"""A KMS that throttles, refuses, hangs or is away: boto3's own client meets it, with its tries and its timeouts."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from auth_common.security.aws_calls import aws_client


@contextmanager
def refusing(error: str, *, operation: str = "*", times: int | None = None) -> Iterator[None]:
    """Answer each request with ``error``, or only the first ones."""
    tries = count()

    def refuse(**_: Any) -> AWSResponse | None:
        if times is not None and next(tries) >= times:
            return None
        body = io.BytesIO(f'{{"__type": "{error}"}}'.encode())
        return AWSResponse("https://kms.example", 400, HTTPHeaders(), HTTPResponse(body, preload_content=False))

    with _answered_by(refuse, operation):
        yield


@contextmanager
def elsewhere(url: str) -> Iterator[None]:
    """Send each request to ``url`` instead, where nobody answers."""

    def send(request: AWSPreparedRequest, **_: Any) -> Any:
        request.url = url
        return aws_client("kms")._endpoint.http_session.send(request)

    with _answered_by(send, "*"):
        yield


@contextmanager
def _answered_by(handler: Callable[..., Any], operation: str) -> Iterator[None]:
    events = aws_client("kms").meta.events
    event = f"before-send.kms.{operation}"
    events.register_first(event, handler)
    yield
    events.unregister(event, handler)

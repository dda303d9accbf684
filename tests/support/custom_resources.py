"""CloudFormation as a custom resource sees it: an event, and a URL that receives the response."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from auth_common.events.invocation import LambdaHandler
from tests.support.clocks import skip_pauses
from tests.support.events import lambda_context

_IDS = {
    "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/auth/7b1c",
    "RequestId": "0c1f6b7e-4c5e-4f0a-9d5c-2f6f3a1b2c3d",
    "LogicalResourceId": "ThisResource",
}


@contextmanager
def _listening() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Bucket(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append({"type": self.headers["Content-Type"], **json.loads(body)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Bucket) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])  # Poll often, because shutdown waits for a poll.
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/response?Signature=x", received
        server.shutdown()
        thread.join()


def run_custom_resource(
    handler: LambdaHandler, function: str, request_type: str = "Create", *, timeout: float = 900, **properties: Any
) -> dict[str, Any]:
    """Send a create, update or delete event to the handler, and return the response that CloudFormation receives."""
    known = {} if request_type == "Create" else {"PhysicalResourceId": "ThisResource"}
    with _listening() as (url, received):
        event = {
            "RequestType": request_type,
            "ResponseURL": url,
            "ResourceType": "Custom::Resource",
            "ResourceProperties": {"ServiceToken": "arn:aws:lambda:…", **properties},
            **known,
            **_IDS,
        }
        with pytest.MonkeyPatch.context() as patches:
            skip_pauses(patches)
            handler(event, lambda_context(function, timeout=timeout))
    (response,) = received
    assert {name: response[name] for name in _IDS} == _IDS
    assert response["PhysicalResourceId"] == "ThisResource"
    assert response["type"] == ""
    document: dict[str, Any] = response
    return document

"""CloudFormation as a custom resource sees it: an event, and a URL that receives the response.

The URL names CloudFormation's bucket, as on AWS. Connections to that host lead to a server of the test.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest

from auth_common.events.invocation import LambdaHandler
from tests.support.clocks import skip_pauses
from tests.support.events import lambda_context

STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/auth/7b1c"
RESPONSE_HOST = "https://cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com"
_IDS = {
    "StackId": STACK_ID,
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
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def custom_resource_event(
    request_type: str = "Create", *, url: str = f"{RESPONSE_HOST}/response?Signature=x", **properties: Any
) -> dict[str, Any]:
    """Return the event that CloudFormation sends to a function."""
    known = {} if request_type == "Create" else {"PhysicalResourceId": "ThisResource"}
    return {
        "RequestType": request_type,
        "ResponseURL": url,
        "ResourceType": "Custom::Resource",
        "ResourceProperties": {"ServiceToken": "arn:aws:lambda:…", **properties},
        **known,
        **_IDS,
    }


@contextmanager
def deployed_by_cloudformation(stack_id: str | None = STACK_ID) -> Iterator[list[Any]]:
    """Run the block as in a function of a stack, and yield the list of responses that CloudFormation receives."""
    with _listening() as (server, received), pytest.MonkeyPatch.context() as patches:

        def connect(request: Request, timeout: float) -> Any:
            request.full_url = server + request.selector
            return urlopen(request, timeout=timeout)

        patches.setattr("auth_common.web.custom_resources.urlopen", connect)
        skip_pauses(patches)
        if stack_id is None:
            patches.delenv("STACK_ID", raising=False)
        else:
            patches.setenv("STACK_ID", stack_id)
        yield received


def run_custom_resource(
    handler: LambdaHandler, function: str, request_type: str = "Create", *, timeout: float = 900, **properties: Any
) -> dict[str, Any]:
    """Send a create, update or delete event to the handler, and return the response that CloudFormation receives."""
    with deployed_by_cloudformation() as received:
        handler(custom_resource_event(request_type, **properties), lambda_context(function, timeout=timeout))
    (response,) = received
    assert {name: response[name] for name in _IDS} == _IDS
    assert response["PhysicalResourceId"] == "ThisResource"
    assert response["type"] == ""
    document: dict[str, Any] = response
    return document

"""The FastAPI application of one function, and the Lambda handler around it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from mangum import Mangum
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_common.events import request_context
from auth_common.events.invocation import LambdaHandler, observed
from auth_common.mail.waking import waking_sender_afterwards
from auth_common.web.cors import cors_headers
from auth_common.web.headers import SECURITY_HEADERS
from auth_common.web.json_body import StrictJSONRoute
from auth_common.web.problems import EXCEPTION_HANDLERS, on_unexpected

_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_SERVER_HEADERS: Final = frozenset({"host", "x-forwarded-port"})
#: Mangum gives these media types to the gateway as text, and encodes all others as base64.
_TEXT_TYPES: Final = ["application/json", "application/problem+json", "application/jwk-set+json", "text/"]
_thread: Final = threading.local()
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


def create_app() -> FastAPI:
    """Return an application without endpoints: strict JSON bodies, problem responses, no public documentation.

    A slash at the end of a path causes no redirect, because the gateway would not know the route.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.route_class = StrictJSONRoute
    return app


def get_and_head(app: FastAPI, path: str, **options: Any) -> Callable[[_Endpoint], _Endpoint]:
    """Return a decorator of an endpoint that any client may read by GET, and ask about by HEAD (RFC 9110 section 9.1).

    Monitors and checkers of security.txt send HEAD. The response is that to GET without its body.
    """

    def register(handle: _Endpoint) -> _Endpoint:
        app.head(path, name=f"head_{handle.__name__}", **options)(handle)
        return app.get(path, **options)(handle)

    return register


def create_handler(app: FastAPI) -> LambdaHandler:
    """Return the Lambda handler of ``app``: API Gateway proxy event in, proxy response out."""
    with_headers = _SecurityHeaders(app)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        asyncio.set_event_loop(_event_loop())
        # Made for each event, because Mangum's constructor also looks for the event loop.
        adapter = Mangum(with_headers, lifespan="off", text_mime_types=_TEXT_TYPES)
        with waking_sender_afterwards():
            return adapter(_without_server(event), context)

    return observed(handle)


def _event_loop() -> asyncio.AbstractEventLoop:
    """Return this thread's event loop, made at its first event. An environment of Lambda has one thread and one loop.

    A new loop for each event would cost as much as an SQL statement. A loop that was made while the module is imported
    would be shared by processes that fork later.
    """
    loop: asyncio.AbstractEventLoop | None = getattr(_thread, "event_loop", None)
    if loop is None:
        loop = _thread.event_loop = asyncio.new_event_loop()
    return loop


def _without_server(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event without the headers from which Mangum reads the server's name and port.

    Mangum raises for ``[::1]:8000``, ``localhost:`` and other forms that it does not know. No endpoint needs these
    headers, because this service's URLs are settings.
    """
    maps = {kind: event.get(kind) or {} for kind in ("headers", "multiValueHeaders")}
    return event | {
        kind: {name: value for name, value in headers.items() if name.lower() not in _SERVER_HEADERS}
        for kind, headers in maps.items()
    }


class _SecurityHeaders:
    """ASGI middleware that adds security headers, CORS and the request id to every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False
        is_head = scope["method"] == "HEAD"
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                # Starlette's names are in lower case.
                present = dict(message["headers"])
                defaults = [header for header in _RAW_HEADERS if header[0] not in present]
                request_id = (b"x-request-id", request_context.get().request_id.encode())
                cors = [(name.lower().encode(), value.encode()) for name, value in cors_headers(origins).items()]
                message["headers"] = [*message["headers"], *defaults, request_id, *cors]
            if is_head:
                message = _without_body(message)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - Mangum's own response would be no problem document
            # Starlette raises again after its handler for Exception has logged the error and sent a response. Only a
            # failure outside that handler, such as a middleware that cannot be made, has no response yet.
            if not has_begun:
                response = await on_unexpected(Request(scope), error)
                await response(scope, receive, send_with_headers)


def _without_body(message: Message) -> Message:
    """Return a message of the response to GET as one of the response to HEAD (RFC 9110 section 9.3.2)."""
    if message["type"] == "http.response.body":
        return {**message, "body": b""}
    return {**message, "headers": [header for header in message["headers"] if header[0] != b"content-length"]}

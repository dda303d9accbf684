"""The FastAPI application of one function, and the Lambda handler around it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Final

from fastapi import FastAPI, Request
from mangum import Mangum
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_common.events import request_context
from auth_common.events.invocation import LambdaHandler, observed
from auth_common.web.json_body import StrictJSONRoute
from auth_common.web.problems import EXCEPTION_HANDLERS, on_unexpected

#: On every answer (ASVS 5.0 V3, V14.2). ``Cache-Control`` is a default: a cacheable endpoint sets its own.
#: Answers are data: a browser that opens one as a page runs, loads and frames nothing, and no other site embeds one.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Cache-Control": "no-store",
}
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_SERVER_HEADERS: Final = frozenset({"host", "x-forwarded-port"})
#: What Mangum hands to the gateway as text; everything else it encodes as base64.
_TEXT_TYPES: Final = ["application/json", "application/problem+json", "application/jwk-set+json", "text/"]


def create_app() -> FastAPI:
    """Return an application without endpoints: strict JSON bodies, problem responses, no public documentation.

    No redirects for a slash at the end either: the gateway knows its routes.
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


def create_handler(app: FastAPI) -> LambdaHandler:
    """Return the Lambda handler of ``app``: API Gateway proxy event in, proxy response out."""
    with _at_once():
        adapter = Mangum(_SecurityHeaders(app), lifespan="off", text_mime_types=_TEXT_TYPES)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        with _at_once():
            # In a copy, as a task of a loop would be: what one request sets, the next one does not find.
            return copy_context().run(adapter, _without_server(event), context)

    return observed(handle)


def _without_server(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event without the headers from which Mangum reads the server's name and port.

    It raises for ``[::1]:8000``, for ``localhost:`` and for each other form that it does not know. No endpoint needs
    them: this service's URLs are settings.
    """
    maps = {kind: event.get(kind) or {} for kind in ("headers", "multiValueHeaders")}
    return event | {
        kind: {name: value for name, value in headers.items() if name.lower() not in _SERVER_HEADERS}
        for kind, headers in maps.items()
    }


class _AtOnce(asyncio.AbstractEventLoop):
    """What Mangum asks of an event loop, for coroutines that run from their beginning to their end.

    An environment serves one event at a time, so an endpoint of ours that has to wait blocks, and nothing is ever
    awaited that is not there. A real loop, with its selector and its rounds, would cost as much as an SQL statement;
    this one has no state, so all threads may share it. What FastAPI needs a real one for, there is not: endpoints and
    dependencies that are no coroutines or yield, streams, background tasks (a test of the structure looks for them).
    """

    def create_task(self, coro: Any, **_options: Any) -> Any:
        return coro

    def run_until_complete(self, future: Any) -> Any:
        with suppress(StopIteration):
            future.send(None)
            while True:
                # It waits, for what will never come: a bug like any other, to be answered and logged as one.
                future.throw(RuntimeError("an endpoint awaits what only an event loop could bring"))


_AT_ONCE: Final = _AtOnce()  # type: ignore[abstract]  # asyncio's own class raises NotImplementedError for the rest


@contextmanager
def _at_once() -> Iterator[None]:
    """Let this thread's event loop be that one while the block runs; most threads have none."""
    asyncio.set_event_loop(_AT_ONCE)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)


class _SecurityHeaders:
    """ASGI middleware: the security headers and the request id on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False
        is_head = scope["method"] == "HEAD"

        async def send_with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                # Starlette's names are in lower case.
                present = dict(message["headers"])
                defaults = [header for header in _RAW_HEADERS if header[0] not in present]
                request_id = (b"x-request-id", request_context.get().request_id.encode())
                message["headers"] = [*message["headers"], *defaults, request_id]
            if is_head:
                message = _without_body(message)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - nobody after us would answer in the right shape
            # Starlette raises what its handler for Exception has already logged and answered; what fails around that
            # handler (a middleware that cannot be made) is answered here.
            if not answered:
                response = await on_unexpected(Request(scope), error)
                await response(scope, receive, send_with_headers)


def _without_body(message: Message) -> Message:
    """Return a message of the response to GET as one of the response to HEAD (RFC 9110 section 9.3.2)."""
    if message["type"] == "http.response.body":
        return {**message, "body": b""}
    return {**message, "headers": [header for header in message["headers"] if header[0] != b"content-length"]}

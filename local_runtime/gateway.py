"""The gateway: an ASGI application that passes each request through the authorizer to its function."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from local_runtime.api_documentation import DOCUMENTATION_PATH, create_api_documentation
from local_runtime.authorizers import CachingAuthorizer
from local_runtime.gateway_responses import Failure, GatewayResponses, RequestFailed
from local_runtime.hosts import is_own_host
from local_runtime.mailbox import MailboxPage, is_for_mailbox
from local_runtime.proxy_events import Request, proxy_event, request_context
from local_runtime.proxy_responses import MalformedResponse, to_response
from local_runtime.routing import Match, Router
from local_runtime.template import Function, Template
from local_runtime.workers import FunctionFailed, PayloadTooLarge, WorkerFactory, WorkerPool

_log = logging.getLogger(__name__)

#: Bytes of a request body (API Gateway's limit). Workers check Lambda's lower limit on the event.
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024
#: Headers that the gateway sets from the connection. It drops the client's values.
_GATEWAY_HEADERS: Final = frozenset({"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"})
#: Headers of files in the public folder. A page has its Content-Security-Policy as a ``meta`` element, which also works
#: under SAM and on a CDN. Only a header can forbid frames, and with them clickjacking (``frame-ancestors``).
FILE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: Log lines have one of these in place of the path of a request without a route.
_NO_ROUTE: Final = "(no route)"
_FILE: Final = "(file)"
_FOREIGN_HOST: Final = "(not this machine's Host)"
#: RFC 9110 section 9 and RFC 5789.
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER_METHOD: Final = "(other method)"


class Service:
    """One version of the template and the code. A change replaces the whole object, cached policies included.

    Args:
        template: the template.
        factory: starts the workers.
        after_requests: the names of functions that run after each request.

    """

    def __init__(self, template: Template, factory: WorkerFactory, *, after_requests: Collection[str] = ()) -> None:
        """Prepare a pool of workers for each function, and start the first worker of each in the background."""
        self._template = template
        self._router = Router(template.routes)
        self._pools = {function.name: WorkerPool(factory, function) for function in template.functions}
        self._authorizers = {
            route.authorizer.name: CachingAuthorizer(
                route.authorizer, self._pools[route.authorizer.function.name].invoke
            )
            for route in template.routes
            if route.authorizer
        }
        self._warming_up = [asyncio.create_task(pool.warm_up()) for pool in self._pools.values()]
        self._is_closed = False
        repeated = [f for f in template.functions if f.interval or f.name in after_requests]
        #: By function, whether it should run now.
        self._is_wanted = {function.name: asyncio.Event() for function in repeated}
        # A function that a change of the template has removed does not run.
        self._after_requests = [event for name, event in self._is_wanted.items() if name in after_requests]
        self._repeating = [asyncio.create_task(self._repeat(function)) for function in repeated]

    async def _repeat(self, function: Function) -> None:
        """Invoke a function once at the start, then at its interval and when its event is set.

        Events that are set during a run cause one further run.
        """
        is_wanted = self._is_wanted[function.name]
        while not self._is_closed:
            is_wanted.clear()
            try:
                await self._pools[function.name].invoke({})
            except FunctionFailed as error:
                _log.error("%s: %s", function.name, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(function.interval):
                    await is_wanted.wait()

    def close(self) -> None:
        """End the workers as they become idle."""
        for task in self._warming_up:
            task.cancel()
        self._is_closed = True
        for is_wanted in self._is_wanted.values():
            is_wanted.set()
        for pool in self._pools.values():
            pool.close()

    def match(self, request: Request) -> Match | None:
        """Return the request's route and path parameters, or None if it has no route."""
        return self._router.match(request.method, request.path)

    def reject(self, request: Request, failure: Failure) -> Response:
        """Return the gateway response to a request that reaches no function."""
        context = request_context(request, stage=self._template.stage, match=None)
        return self._template.gateway_responses.response_to(failure, context)

    async def respond(self, request: Request, match: Match) -> Response:
        """Return the function's response to a request, or a gateway response if the request fails on its way."""
        context = request_context(request, stage=self._template.stage, match=match)
        try:
            return await self._call(request, match, context)
        except RequestFailed as error:
            failure = error.failure
        except asyncio.CancelledError:
            failure = Failure.DEFAULT_5XX  # the runtime is stopping
        finally:
            for is_wanted in self._after_requests:
                is_wanted.set()
        return self._template.gateway_responses.response_to(failure, context)

    async def _call(self, request: Request, match: Match, context: dict[str, Any]) -> Response:
        if len(request.body) > _MAX_BODY_BYTES:
            raise RequestFailed(Failure.REQUEST_TOO_LARGE)
        if match.route.authorizer:
            authorizer = self._authorizers[match.route.authorizer.name]
            context["authorizer"] = await authorizer.authorize(request, match, context)
        event = proxy_event(request, match, context, binary_media_types=self._template.binary_media_types)
        try:
            response = to_response(
                await self._pools[match.route.function.name].invoke(event),
                accept=dict(request.headers).get("accept", ""),
                binary_media_types=self._template.binary_media_types,
            )
        except PayloadTooLarge:
            raise RequestFailed(Failure.REQUEST_TOO_LARGE) from None
        except MalformedResponse as error:
            _log.error("%s: malformed proxy response: %s", match.route.function.name, error)
            raise RequestFailed(Failure.DEFAULT_5XX) from None
        except FunctionFailed:
            # Also if the function exceeded its Timeout. INTEGRATION_TIMEOUT is only for API Gateway's own limit of 29
            # s.
            raise RequestFailed(Failure.DEFAULT_5XX) from None
        if request.method == "HEAD":
            # The header must be the length of the response to GET, which is not known (RFC 9110 section 8.6).
            del response.headers["content-length"]
        return response


class Gateway:
    """The ASGI application.

    Args:
        folder: the template's folder. The files in its ``public`` folder are served if no route matches.
        openapi: the document that ``/docs`` shows. None: there is no ``/docs``.
        mailbox: the pages with the mails. None: there is no ``/mail.html``.
        host_names: further host names that ``Host`` may have, besides this machine's own (see ``hosts``).

    """

    def __init__(
        self,
        folder: Path,
        *,
        openapi: Path | None = None,
        mailbox: MailboxPage | None = None,
        host_names: Collection[str] = (),
    ) -> None:
        """Create a gateway that answers every request with 502 until it has a service."""
        self._service: Service | None = None
        self._host_names = host_names
        self._files = StaticFiles(directory=folder / "public", html=True, check_dir=False)
        self._mailbox = mailbox
        self._api_documentation = cache(lambda: create_api_documentation(openapi)) if openapi else None

    def replace_service(self, service: Service | None) -> None:
        """Serve new requests with ``service``, or answer 502 if it is None. Running requests finish in the old one."""
        if self._service is not None:
            self._service.close()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI requires."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        is_own = is_own_host(hosts, names=self._host_names)
        is_documentation = f"{scope['path']}/".startswith(f"{DOCUMENTATION_PATH}/")
        if self._api_documentation and is_own and is_documentation:
            await self._api_documentation()(scope, receive, send)
            return
        if self._mailbox and is_for_mailbox(scope):
            await self._mailbox(scope, receive, send)
            return
        started = time.monotonic()
        try:
            request = await _read(scope, receive)
        except ClientDisconnect:
            return
        response, route = await self._respond(request, scope, is_own=is_own)
        await response(scope, receive, send)
        milliseconds = (time.monotonic() - started) * 1000
        # Log the route, because the path can contain a token or an e-mail address. So can a query and an unknown
        # method.
        method = request.method if request.method in _METHODS else _OTHER_METHOD
        _log.info("%s %s %d, %.0f ms", method, route, response.status_code, milliseconds)

    async def _respond(self, request: Request, scope: Scope, *, is_own: bool) -> tuple[Response, str]:
        """Return the response, and the text for the request's path in the log."""
        service = self._service
        if service is None:
            return GatewayResponses({}).response_to(Failure.DEFAULT_5XX, {}), _NO_ROUTE
        if not is_own:
            return service.reject(request, Failure.DEFAULT_4XX), _FOREIGN_HOST
        match = service.match(request)
        if match:
            return await service.respond(request, match), match.route.path
        # Files are outside the API, as in SAM. The call raises an exception if there is no such file.
        with contextlib.suppress(HTTPException):
            response = await self._files.get_response(self._files.get_path(scope), scope)
            response.headers.update(FILE_HEADERS)
            return response, _FILE
        return service.reject(request, Failure.MISSING_AUTHENTICATION_TOKEN), _NO_ROUTE


async def _read(scope: Scope, receive: Receive) -> Request:
    """Return the whole request. Keep only the beginning of a body that is too large.

    Raises:
        ClientDisconnect: the client closed the connection.

    """
    body = bytearray()
    async for chunk in StarletteRequest(scope, receive).stream():
        # Read even a body that is too large to its end. A client that is still sending would miss the response.
        if len(body) <= _MAX_BODY_BYTES:
            body += chunk
    source_ip = scope["client"][0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    forwarded_for = [value for name, value in headers if name == "x-forwarded-for"]
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=(
            *((name, value) for name, value in headers if name not in _GATEWAY_HEADERS),
            # API Gateway appends the client IP to the client's own header.
            ("x-forwarded-for", ", ".join([*forwarded_for, source_ip])),
            ("x-forwarded-port", str(scope["server"][1])),
            ("x-forwarded-proto", scope["scheme"]),
        ),
        body=bytes(body),
        source_ip=source_ip,
        protocol=f"HTTP/{scope['http_version']}",
    )

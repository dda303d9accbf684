"""The gateway: an HTTP request's way to a function and back."""

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
from local_runtime.proxy_events import Request, proxy_event, request_context
from local_runtime.proxy_responses import MalformedResponse, to_response
from local_runtime.routing import Match, Router
from local_runtime.template import Template
from local_runtime.workers import FunctionFailed, PayloadTooLarge, WorkerFactory, WorkerPool

_log = logging.getLogger(__name__)

#: Bytes of a request's body (API Gateway). Lambda's own limit on the event is lower, and is checked by the workers.
_BODY_LIMIT: Final = 10 * 1024 * 1024
#: What the gateway says of the connection, and not the client.
_OWN_HEADERS: Final = frozenset({"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"})
#: What a file of the public folder is served with. Its own Content-Security-Policy stands in the page, so that it holds
#: under SAM and on a CDN too; only a header can forbid frames, in which another site could have a login clicked.
_FILE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


#: What the log calls the path of a request that has no route.
_NO_ROUTE: Final = "(no route)"
_FILE: Final = "(file)"
#: RFC 9110 section 9 and RFC 5789.
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER_METHOD: Final = "(other method)"
_FOREIGN_HOST: Final = "(not this machine's Host)"


class Service:
    """What one version of the template and the code serves. A change replaces it as a whole, policies included."""

    def __init__(self, template: Template, factory: WorkerFactory) -> None:
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

    async def run_scheduled(self) -> None:
        """Invoke each function that has a schedule, once: a developer's runtime seldom lives as long as its rate."""
        for function in self._template.functions:
            if function.is_scheduled:
                try:
                    await self._pools[function.name].invoke({})
                except FunctionFailed as error:
                    _log.error("%s: %s", function.name, error)

    def close(self) -> None:
        """End the workers as they become idle."""
        for task in self._warming_up:
            task.cancel()
        for pool in self._pools.values():
            pool.close()

    def match(self, request: Request) -> Match | None:
        """Return the request's route."""
        return self._router.match(request.method, request.path)

    def refuse(self, request: Request, failure: Failure) -> Response:
        """Return the gateway's own response to a request that reaches no function."""
        context = request_context(request, stage=self._template.stage, match=None)
        return self._template.gateway_responses.answer(failure, context)

    async def answer(self, request: Request, match: Match) -> Response:
        """Return the response to a request: the function's, or the gateway's own."""
        context = request_context(request, stage=self._template.stage, match=match)
        try:
            return await self._call(request, match, context)
        except RequestFailed as error:
            failure = error.failure
        except asyncio.CancelledError:
            failure = Failure.DEFAULT_5XX  # the runtime ends and waits no longer
        return self._template.gateway_responses.answer(failure, context)

    async def _call(self, request: Request, match: Match, context: dict[str, Any]) -> Response:
        if len(request.body) > _BODY_LIMIT:
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
            # One that its own Timeout ended among them: INTEGRATION_TIMEOUT is for API Gateway's 29 s alone.
            raise RequestFailed(Failure.DEFAULT_5XX) from None
        if request.method == "HEAD":
            # It would have to be the length of the response to GET (RFC 9110 section 8.6).
            del response.headers["content-length"]
        return response


class Gateway:
    """The ASGI application.

    Args:
        project: its files in ``public`` are served if no route matches.
        host_names: what ``Host`` may name besides this machine's own names (``hosts``).

    """

    def __init__(self, project: Path, *, host_names: Collection[str] = ()) -> None:
        """Answer 502 until there is a service."""
        self._service: Service | None = None
        self._host_names = host_names
        self._files = StaticFiles(directory=project / "public", html=True, check_dir=False)
        self._api_documentation = cache(lambda: create_api_documentation(project / "docs" / "openapi.json"))

    def replace_service(self, service: Service | None) -> None:
        """Serve ``service`` from now on (``None``: nothing works). Requests under way end with the old one."""
        if self._service is not None:
            self._service.close()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        is_own = is_own_host(hosts, names=self._host_names)
        if is_own and f"{scope['path']}/".startswith(f"{DOCUMENTATION_PATH}/"):
            await self._api_documentation()(scope, receive, send)
            return
        started = time.monotonic()
        try:
            request = await _read(scope, receive)
        except ClientDisconnect:
            return
        response, route = await self._respond(request, scope, is_own=is_own)
        await response(scope, receive, send)
        milliseconds = (time.monotonic() - started) * 1000
        # The route and not the path, which can hold a token or an e-mail address. Queries and unknown methods are left
        # out for the same reason.
        method = request.method if request.method in _METHODS else _OTHER_METHOD
        _log.info("%s %s %d, %.0f ms", method, route, response.status_code, milliseconds)

    async def _respond(self, request: Request, scope: Scope, *, is_own: bool) -> tuple[Response, str]:
        """Return the response, and what the log calls the request's path."""
        service = self._service
        if service is None:
            return GatewayResponses({}).answer(Failure.DEFAULT_5XX, {}), _NO_ROUTE
        if not is_own:
            return service.refuse(request, Failure.DEFAULT_4XX), _FOREIGN_HOST
        match = service.match(request)
        if match:
            return await service.answer(request, match), match.route.path
        # Outside the API, as SAM does it; raises where there is no such file.
        with contextlib.suppress(HTTPException):
            response = await self._files.get_response(self._files.get_path(scope), scope)
            response.headers.update(_FILE_HEADERS)
            return response, _FILE
        return service.refuse(request, Failure.MISSING_AUTHENTICATION_TOKEN), _NO_ROUTE


async def _read(scope: Scope, receive: Receive) -> Request:
    """Return the whole request, its body cut where the gateway refuses it anyway.

    Raises:
        ClientDisconnect: the client has gone.

    """
    body = bytearray()
    async for chunk in StarletteRequest(scope, receive).stream():
        # Read to its end all the same: a client that is still sending would miss the answer.
        if len(body) <= _BODY_LIMIT:
            body += chunk
    source_ip = scope["client"][0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    claimed = [value for name, value in headers if name == "x-forwarded-for"]
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=(
            *((name, value) for name, value in headers if name not in _OWN_HEADERS),
            # API Gateway appends the caller to what the caller claims.
            ("x-forwarded-for", ", ".join([*claimed, source_ip])),
            ("x-forwarded-port", str(scope["server"][1])),
            ("x-forwarded-proto", scope["scheme"]),
        ),
        body=bytes(body),
        source_ip=source_ip,
        protocol=f"HTTP/{scope['http_version']}",
    )

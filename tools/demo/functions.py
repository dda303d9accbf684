"""The functions of template.yaml in this process, as a service that users and attackers send requests to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import uuid4

from local_runtime.cloudformation import function_arn
from local_runtime.proxy_events import Request, authorizer_event, proxy_event, request_context
from local_runtime.routing import Router
from local_runtime.template import Function, Template
from local_runtime.worker_process import LambdaContext
from tools.attacks.target import Response, Target

#: A browser on a computer, as most users have it.
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


class Functions:
    """The handlers of every function that has a route, and of the authorizer."""

    def __init__(self, template: Template) -> None:
        """Import the handlers. A process has one environment: the settings of all of them are the same."""
        self._stage = template.stage
        self._router = Router(template.routes)
        functions = [route.function for route in template.routes]
        functions += [route.authorizer.function for route in template.routes if route.authorizer]
        self._handlers = {each.name: import_module(f"functions.{each.folder.name}.app").handler for each in functions}

    def respond(self, request: Request) -> Mapping[str, Any]:
        """Return the proxy response to a request with a valid route and, if it has one, a valid access token."""
        match = self._router.match(request.method, request.path)
        if match is None:
            raise LookupError(request.path)
        context = request_context(request, stage=self._stage, match=match)
        if match.route.authorizer:
            event = authorizer_event(request, match, context)
            context["authorizer"] = self._invoke(match.route.authorizer.function, event)["context"]
        event = proxy_event(request, match, context, binary_media_types=frozenset())
        response: Mapping[str, Any] = self._invoke(match.route.function, event)
        return response

    def _invoke(self, function: Function, event: Mapping[str, Any]) -> Any:
        context = LambdaContext(
            name=function.name,
            arn=function_arn(function.name),
            request_id=str(uuid4()),
            timeout=function.timeout,
        )
        return self._handlers[function.name](event, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessTarget(Target):
    """A service in this process, which gets each request from ``client_ip`` and ``user_agent``."""

    functions: Functions
    user_agent: str = BROWSER

    def send(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, step_up_token: str | None = None
    ) -> Response:
        """Call the function of a route, with ``body`` as JSON and ``token`` as bearer token."""
        headers = {
            "content-type": "application/json" if body is not None else None,
            "authorization": f"Bearer {token}" if token is not None else None,
            "step-up-token": step_up_token,
            "user-agent": self.user_agent,
        }
        response = self.functions.respond(
            Request(
                method=method,
                path=path,
                query="",
                headers=tuple((name, value) for name, value in headers.items() if value is not None),
                body=b"" if body is None else json.dumps(body).encode(),
                source_ip=self.client_ip,
                protocol="HTTP/1.1",
            )
        )
        text = response["body"]
        return Response(response["statusCode"], json.loads(text) if text else None)

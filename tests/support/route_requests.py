"""A request for each route of the template, with a body that passes validation."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from auth_common.web.oauth import FORM_MEDIA_TYPE
from local_runtime.template import Route
from tests.support.events import proxy_event
from tests.support.functions import Response, call
from tests.support.openapi import DOCUMENT

#: The examples of docs/openapi.json by method and path. Credentials in them pass validation, but their signatures are
#: not valid.
VALID_BODIES: dict[str, list[dict[str, Any]]] = {
    f"{method.upper()} {path}": [
        example["value"]
        for content in operation["requestBody"]["content"].values()
        for example in content["examples"].values()
    ]
    for path, item in json.loads(DOCUMENT.read_text())["paths"].items()
    for method, operation in item.items()
    if "requestBody" in operation
}
#: The routes of OAuth, whose bodies are forms (RFC 6749).
FORMS = {
    f"{method.upper()} {path}"
    for path, item in json.loads(DOCUMENT.read_text())["paths"].items()
    for method, operation in item.items()
    if FORM_MEDIA_TYPE in operation.get("requestBody", {}).get("content", {})
}


def route_name(route: Route) -> str:
    """Return method and path of a route, for example ``GET /users/{id}``."""
    return f"{route.method} {route.path}"


def body_of(route: Route) -> dict[str, Any] | None:
    """Return an example of the route's body, if possible with fields. Return None if the route has no body."""
    return max(VALID_BODIES.get(route_name(route), []), key=bool, default=None)


def encode_body(route: Route, body: Mapping[str, Any]) -> bytes:
    """Return ``body`` as the route expects it: as JSON, or as a form."""
    if route_name(route) not in FORMS:
        return json.dumps(body).encode()
    fields = {name.encode("utf-8", "surrogatepass"): _form_value(value) for name, value in body.items()}
    return urlencode(fields).encode()


def _form_value(value: object) -> bytes:
    return ("" if value is None else str(value)).encode("utf-8", "surrogatepass")


def send_to_route(route: Route, context: Mapping[str, Any] | None, *, segment: str = "x", **options: Any) -> Response:
    """Call the function of ``route`` with an authorizer context, and with ``segment`` as ``{id}`` in the path."""
    if route_name(route) in FORMS:
        options["headers"] = {"Content-Type": FORM_MEDIA_TYPE, **(options.get("headers") or {})}
    event = proxy_event(route.method, route.path.replace("{id}", segment), authorizer=context, **options)
    event["resource"] = route.path
    return call(route.function.folder.name, event)

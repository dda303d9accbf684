"""A request for each route of the template, with a body that passes validation."""

from collections.abc import Mapping
from typing import Any

from local_runtime.template import Route
from tests.support.events import proxy_event
from tests.support.factories import NEW_PASSWORD, registration
from tests.support.functions import Answer, call

_CREDENTIAL = {
    "id": "AQID",
    "rawId": "AQID",
    "type": "public-key",
    "clientExtensionResults": {},
    "authenticatorAttachment": "platform",
    "response": {
        "clientDataJSON": "e30",
        "attestationObject": "oA",
        "authenticatorData": "AA",
        "signature": "AA",
        "userHandle": "AA",
        "transports": ["usb"],
    },
}
#: Bodies by method and path. The credentials pass validation, but their signatures are not valid.
BODIES: dict[str, dict[str, Any]] = {
    "POST /users": registration(),
    "POST /login": {"email": "a@example.com", "password": "p"},
    "POST /token/refresh": {"refresh_token": "rt"},
    "PUT /users/{id}/password": {"current_password": "p", "new_password": NEW_PASSWORD},
    "POST /step-up": {"current_password": "p"},
    "POST /webauthn/register/begin": {},
    "POST /webauthn/register/complete": {"challenge_id": "c", "credential": _CREDENTIAL, "name": "Laptop"},
    "POST /webauthn/login/begin": {"mfa_token": "t"},
    "POST /webauthn/login/complete": {"challenge_id": "c", "credential": _CREDENTIAL},
    "PATCH /webauthn/credentials/{id}": {"name": "Laptop"},
}


def name_of(route: Route) -> str:
    """Return method and path of a route, for example ``GET /users/{id}``."""
    return f"{route.method} {route.path}"


def send(route: Route, context: Mapping[str, Any] | None, *, segment: str = "x", **options: Any) -> Answer:
    """Call the function of ``route`` with an authorizer context, and with ``segment`` as ``{id}`` in the path."""
    event = proxy_event(route.method, route.path.replace("{id}", segment), authorizer=context, **options)
    event["resource"] = route.path
    return call(route.function.folder.name, event)

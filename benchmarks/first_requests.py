"""Create a successful request for each function. Each request is new, because some requests succeed only once.

Path and body come from the template and from the examples in docs/openapi.json. A new endpoint needs no change of this
module.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.clients.registration import add_client
from auth_common.mail_tokens.store import MailToken, insert_mail_token
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose, hash_address, hash_mail_token, new_mail_token
from auth_common.transactions import transaction
from local_runtime.template import Route
from tests.support import auditors
from tests.support.events import authorizer_event, form_event, json_event, proxy_event
from tests.support.factories import PASSWORD, Account, sign_up
from tests.support.functions import authorize
from tests.support.route_requests import VALID_BODIES, route_name
from tests.support.routes import ROUTES

#: Fields whose example the service does not know. A request with such a field needs a real value.
_MADE_BY_THE_SERVICE: Final = ("token", "_id", "code")
#: Fields that the service has made for the user or the client of a request.
_KNOWN: Final = frozenset({"refresh_token", "client_id"})
#: The one route whose token is sent by mail only and is needed in each request.
_SECURE: Final = "/account/secure"
_REVOKE: Final = "/revoke"
_TOKEN: Final = "/token"


class FirstRequests:
    """Requests to a service whose database and keys are those of this process."""

    def __init__(self) -> None:
        """Create a user who may read everything: an admin who logged in with a passkey."""
        self._admin_token = auditors.auditor_token()

    def request(self, function: str) -> dict[str, Any]:
        """Return an event that ``functions/<function>`` accepts once."""
        if function == "cleanup":
            return {}
        if function == "authorizer":
            return authorizer_event(f"Bearer {self._admin_token}")
        if function == "preflight":
            return proxy_event("OPTIONS", "/login", headers={"Origin": "http://localhost:8000"})
        routes = [route for route in ROUTES if route.function.folder.name == function]
        possible = [route for route in routes if route.method == "GET" or _possible_bodies(route)]
        return self._event(min(possible, key=lambda route: (route.authorizer is not None, route.method != "GET")))

    def _event(self, route: Route) -> dict[str, Any]:
        if route.method == "GET":
            caller = authorize(self._admin_token)["context"]
            return proxy_event("GET", route.path.replace("{id}", caller["user_id"]), **_options(route, caller))
        if route.path == _TOKEN:
            return form_event(route.path, {"grant_type": "client_credentials", **_new_client()})
        account = sign_up(_new_email())
        caller = authorize(account.access_token)["context"]
        if route.path == _REVOKE:
            return form_event(route.path, {"token": account.refresh_token})
        known = {
            "token": _link_of_notice(account) if route.path == _SECURE else "",
            "email": _new_email() if route.path == "/users" else account.email,
            "password": PASSWORD,
            "current_password": PASSWORD,
            "refresh_token": account.refresh_token,
        }
        body = max(_possible_bodies(route), key=bool)
        own = {name: value for name, value in known.items() if name in body}
        return json_event(route.method, route.path.replace("{id}", account.id), body | own, **_options(route, caller))


def _options(route: Route, caller: dict[str, str]) -> dict[str, Any]:
    """Return the path parameters and the authorizer's context for a request of a caller about their own account."""
    parameters = {"path_parameters": {"id": caller["user_id"]}} if "{id}" in route.path else {}
    return parameters | ({"authorizer": caller} if route.authorizer else {})


def _possible_bodies(route: Route) -> list[dict[str, Any]]:
    known = _KNOWN | {"token"} if route.path in {_SECURE, _REVOKE} else _KNOWN
    return [
        body
        for body in VALID_BODIES.get(route_name(route), [])
        if not any(name.endswith(_MADE_BY_THE_SERVICE) for name in body.keys() - known)
    ]


def _link_of_notice(account: Account) -> str:
    """Store the token of a link "this was not me" for an account, as a notice does, and return the token."""
    token, now = new_mail_token(), datetime.now(UTC)
    mail_token = MailToken(
        id=uuid4(),
        purpose=MailTokenPurpose.SECURE_ACCOUNT,
        user_id=UUID(account.id),
        address_hash=hash_address(account.email),
        token_hash=hash_mail_token(token, MailTokenPurpose.SECURE_ACCOUNT),
        token_version=0,
        expires_at=now + timedelta(days=1),
        event_at=now,
    )
    transaction(lambda connection: insert_mail_token(connection, mail_token))
    return token


def _new_client() -> dict[str, str]:
    """Register a client, and return the parameters with which it authenticates."""
    name = secrets.token_hex(8)
    _, secret = add_client(name, resources=["https://orders.example.com"], scopes=[])
    return {"client_id": name, "client_secret": str(secret)}


def _new_email() -> str:
    return f"{secrets.token_hex(8)}@example.com"

"""The first request of each function, as it succeeds: a new one each time, since some can be made once only."""

import secrets
from typing import Any

from tests.support import auditors
from tests.support.events import authorizer_event, json_event, proxy_event
from tests.support.factories import PASSWORD, log_in, registration, sign_up
from tests.support.functions import authorize

#: Another good password.
_NEW_PASSWORD = " ".join(reversed(PASSWORD.split()))


class FirstRequests:
    """Requests to a service whose storage is this process's own; they prepare what they need by calling it here."""

    def __init__(self) -> None:
        """Make the people that the requests are about."""
        self._person = sign_up()
        self._auditor_token = auditors.auditor_token()

    def request(self, function: str) -> dict[str, Any]:
        """Return an event for ``functions/<function>`` that it answers with success, once."""
        event: dict[str, Any] = getattr(self, f"_{function}")()
        return event

    def _audit(self) -> dict[str, Any]:
        return proxy_event("GET", "/audit/events", authorizer=_context(self._auditor_token))

    def _authorizer(self) -> dict[str, Any]:
        return authorizer_event(f"Bearer {self._person.access_token}")

    def _change_password(self) -> dict[str, Any]:
        account = sign_up(_new_address())
        return json_event(
            "PUT",
            f"/users/{account.id}/password",
            {"current_password": PASSWORD, "new_password": _NEW_PASSWORD},
            path_parameters={"id": account.id},
            authorizer=_context(account.access_token),
        )

    def _cleanup(self) -> dict[str, Any]:
        return {}

    def _get_user(self) -> dict[str, Any]:
        parameters = {"id": self._person.id}
        caller = _context(self._person.access_token)
        return proxy_event("GET", f"/users/{self._person.id}", path_parameters=parameters, authorizer=caller)

    def _health(self) -> dict[str, Any]:
        return proxy_event("GET", "/health")

    def _jwks(self) -> dict[str, Any]:
        return proxy_event("GET", "/.well-known/jwks.json")

    def _login(self) -> dict[str, Any]:
        return json_event("POST", "/login", {"email": self._person.email, "password": PASSWORD})

    def _refresh(self) -> dict[str, Any]:
        token = log_in(self._person.email).json["refresh_token"]
        return json_event("POST", "/token/refresh", {"refresh_token": token})

    def _register(self) -> dict[str, Any]:
        return json_event("POST", "/users", registration(email=_new_address()))

    def _sessions(self) -> dict[str, Any]:
        return proxy_event("GET", "/sessions", authorizer=_context(self._person.access_token))

    def _step_up(self) -> dict[str, Any]:
        caller = _context(self._person.access_token)
        return json_event("POST", "/step-up", {"current_password": PASSWORD}, authorizer=caller)

    def _webauthn(self) -> dict[str, Any]:
        return json_event("POST", "/webauthn/login/begin", {})


def _new_address() -> str:
    return f"{secrets.token_hex(8)}@example.com"


def _context(token: str) -> dict[str, str]:
    context: dict[str, str] = authorize(token)["context"]
    return context

"""A fixed sequence of requests, to compare the responses of different servers.

Values that differ between runs (ids, tokens, times) are replaced by the name of their field.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.support.factories import registration

#: Headers that clients and browsers act on.
HEADERS = (
    *("accept-encoding", "cache-control", "content-security-policy", "content-type", "cross-origin-resource-policy"),
    *("location", "referrer-policy", "retry-after", "strict-transport-security", "www-authenticate"),
    "x-content-type-options",
)
_VOLATILE_MEMBERS = {
    *("access_token", "created_at", "expires_at", "id", "keys", "last_used_at"),
    *("refresh_token", "request_id", "step_up_token"),
}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class ComparableResponse:
    """The parts of a response that two servers must agree on."""

    status: int
    headers: Mapping[str, str]
    body: Any
    has_request_id: bool


@dataclass
class Conversation:
    """The client, and the ids and tokens from earlier responses."""

    client: httpx.Client
    email: str = field(default_factory=lambda: f"{uuid4()}@example.com")
    user_id: str = ""
    access_token: str = ""
    refresh_token: str = ""

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def registration(self, **changes: Any) -> dict[str, Any]:
        return registration(**{"email": self.email, **changes})

    def change_password(self, **changes: str) -> httpx.Response:
        body = {
            "current_password": changes.get("current", registration()["password"]),
            "new_password": changes.get("new", "copper lantern eleven rivers"),
        }
        path = f"/users/{changes.get('user_id', self.user_id)}/password"
        return self.client.put(path, json=body, headers=self.bearer())


Step = Callable[[Conversation], httpx.Response]
JSON = {"Content-Type": "application/json"}


def _register(c: Conversation) -> httpx.Response:
    response = c.client.post("/users", json=c.registration())
    c.user_id = response.json()["id"]
    return response


def _log_in(c: Conversation) -> httpx.Response:
    response = c.client.post("/login", json={"email": c.email, "password": c.registration()["password"]})
    c.access_token, c.refresh_token = response.json()["access_token"], response.json()["refresh_token"]
    return response


def _refresh(c: Conversation) -> httpx.Response:
    response = c.client.post("/token/refresh", json={"refresh_token": c.refresh_token})
    c.access_token, c.refresh_token = response.json()["access_token"], response.json()["refresh_token"]
    return response


def _body(content: bytes | str, **headers: str) -> Step:
    return lambda c: c.client.post("/users", content=content, headers={**JSON, **headers})


SCENARIO: dict[str, Step] = {
    "health": lambda c: c.client.get("/health"),
    "health by HEAD": lambda c: c.client.head("/health"),
    "health with an unknown query": lambda c: c.client.get("/health?verbose"),
    "public keys": lambda c: c.client.get("/.well-known/jwks.json"),
    "public keys by HEAD": lambda c: c.client.head("/.well-known/jwks.json"),
    "document without its setting": lambda c: c.client.get("/.well-known/security.txt"),
    "document without its setting, by HEAD": lambda c: c.client.head("/.well-known/security.txt"),
    "register": _register,
    "register again": lambda c: c.client.post("/users", json=c.registration()),
    "register with a role": lambda c: c.client.post("/users", json=c.registration(role="admin")),
    "register with a weak password": lambda c: c.client.post("/users", json=c.registration(password="short")),
    "register with a name in Greek": lambda c: c.client.post("/users", json=c.registration(name="Ελένη", email="e")),
    "malformed JSON": _body("{"),
    "invalid UTF-8": _body(b'{"name": "\xff\xfe"}'),
    "empty body": _body(""),
    "a list": _body("[]"),
    "NUL in a name": _body('{"name": "a\\u0000b"}'),
    "deep nesting": _body("[" * 50_000),
    "wrong content type": lambda c: c.client.post("/users", content="name=x", headers={"Content-Type": "text/plain"}),
    "compressed body": _body("{}", **{"Content-Encoding": "gzip"}),
    "binary body": lambda c: c.client.post(
        "/users", content=bytes(range(256)), headers={"Content-Type": "application/octet-stream"}
    ),
    "large body": lambda c: c.client.post("/users", json=c.registration(name="x" * 100_000)),
    "log in with a wrong password": lambda c: c.client.post("/login", json={"email": c.email, "password": "wrong"}),
    "log in": _log_in,
    "get my user": lambda c: c.client.get(f"/users/{c.user_id}", headers=c.bearer()),
    "get my user by an id in capitals": lambda c: c.client.get(f"/users/{c.user_id.upper()}", headers=c.bearer()),
    "get my user by a percent-encoded path": lambda c: c.client.get(
        f"/users/{c.user_id.replace('-', '%2D')}", headers=c.bearer()
    ),
    "get my user with an unknown query": lambda c: c.client.get(
        f"/users/{c.user_id}?a=1&a=2&b=%20", headers=[*c.bearer().items(), ("X-Two", "1"), ("X-Two", "2")]
    ),
    "get another user": lambda c: c.client.get(f"/users/{uuid4()}", headers=c.bearer()),
    "encoded slashes": lambda c: c.client.get("/users/..%2F..%2Fetc", headers=c.bearer()),
    "get a user without a token": lambda c: c.client.get(f"/users/{c.user_id}"),
    "get a user with a bad token": lambda c: c.client.get(f"/users/{c.user_id}", headers={"Authorization": "Bearer x"}),
    "get a user with basic authentication": lambda c: c.client.get(f"/users/{c.user_id}", auth=("a", "b")),
    "trailing slash": lambda c: c.client.get(f"/users/{c.user_id}/", headers=c.bearer()),
    "unknown route": lambda c: c.client.get("/nope"),
    "wrong method": lambda c: c.client.put("/users", json={}),
    "sessions": lambda c: c.client.get("/sessions", headers=c.bearer()),
    "change my password with a wrong one": lambda c: c.change_password(current="wrong"),
    "change my password to a weak one": lambda c: c.change_password(new="short"),
    "change another user's password": lambda c: c.change_password(user_id=str(uuid4())),
    "change my password": lambda c: c.change_password(),
    "get my user after the change": lambda c: c.client.get(f"/users/{c.user_id}", headers=c.bearer()),
    "refresh after the change": _refresh,
    "refresh with garbage": lambda c: c.client.post("/token/refresh", json={"refresh_token": "x"}),
    "log out": lambda c: c.client.post("/logout", headers=c.bearer()),
    "get my user after logging out": lambda c: c.client.get(f"/users/{c.user_id}", headers=c.bearer()),
    "refresh after logging out": lambda c: c.client.post("/token/refresh", json={"refresh_token": c.refresh_token}),
}


def run_scenario(base_url: str) -> dict[str, ComparableResponse]:
    """Send all requests to a server, and return the responses by the name of their step."""
    with httpx.Client(base_url=base_url, timeout=120, headers={"User-Agent": "parity"}) as client:
        conversation = Conversation(client)
        return {name: _describe(step(conversation), conversation) for name, step in SCENARIO.items()}


def _describe(response: httpx.Response, conversation: Conversation) -> ComparableResponse:
    return ComparableResponse(
        status=response.status_code,
        headers={name: _UUID.sub("<uuid>", response.headers[name]) for name in HEADERS if name in response.headers},
        body=_without_volatile(response.json(), conversation) if response.content else None,
        has_request_id=bool(response.headers.get("x-request-id")),
    )


def _without_volatile(value: Any, conversation: Conversation) -> Any:
    if isinstance(value, dict):
        return {
            name: f"<{name}>" if name in _VOLATILE_MEMBERS else _without_volatile(member, conversation)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_without_volatile(item, conversation) for item in value]
    return "<email>" if value == conversation.email else value

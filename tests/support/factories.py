"""Requests of users who register, log in and use their accounts, sent to the functions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from auth_common.accounts.erasure import erase_user
from auth_common.database.tables import sessions
from auth_common.sessions.step_up_tokens import STEP_UP_TOKEN_LIFETIME
from tests.support import leaks
from tests.support.databases import Database, acting_as
from tests.support.events import form_event, json_event, proxy_event
from tests.support.functions import Response, authorize, call, remember_step_up, step_up_token_of

EMAIL = "person@example.com"
PASSWORD = "violet anchor seventeen drums"
NEW_PASSWORD = "copper lantern eleven rivers"


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user who has logged in."""

    id: str
    email: str
    access_token: str
    refresh_token: str

    @property
    def pair(self) -> dict[str, str]:
        """The token pair of the account's first session."""
        return {"access_token": self.access_token, "refresh_token": self.refresh_token}


def registration(**changes: Any) -> dict[str, Any]:
    """Return the body of a valid registration, with ``changes``."""
    leaks.remember(PASSWORD)
    return {
        "name": "Test Person",
        "email": EMAIL,
        "date_of_birth": "1980-04-14",
        "job_title": "Engineer",
        "password": PASSWORD,
        **changes,
    }


def register(identity: Mapping[str, str] | None = None, /, **changes: Any) -> Response:
    """Register a user. ``identity`` changes the request's ``sourceIp`` or ``userAgent``."""
    return call("register", json_event("POST", "/users", registration(**changes), **(identity or {})))


def log_in(email: str = EMAIL, password: str = PASSWORD, **options: Any) -> Response:
    """Log in with a password. ``options`` are those of ``proxy_event``."""
    return call("login", json_event("POST", "/login", {"email": email, "password": password}, **options))


def sign_up(email: str = EMAIL) -> Account:
    """Register, log in, and return the account with its tokens."""
    user = register(email=email)
    assert user.status == 201, user.text
    pair = log_in(email)
    assert pair.status == 200, pair.text
    return Account(user.json["id"], email, pair.json["access_token"], pair.json["refresh_token"])


def get_user(user_id: str, *, token: str) -> Response:
    """Read a user with an access token."""
    return call_as(token, "get_user", "GET", f"/users/{user_id}", path_parameters={"id": user_id})


def get_health() -> Response:
    """Send ``GET /health``."""
    return call("health", proxy_event("GET", "/health"))


def get_jwks() -> list[dict[str, str]]:
    """Read the public keys of the service from ``GET /.well-known/jwks.json``."""
    response = call("jwks", proxy_event("GET", "/.well-known/jwks.json"))
    assert response.status == 200, response.text
    keys: list[dict[str, str]] = response.json["keys"]
    return keys


def refresh(token: str, **identity: str) -> Response:
    """Exchange a refresh token."""
    return call("refresh", json_event("POST", "/token/refresh", {"refresh_token": token}, **identity))


def revoke(token: str, **parameters: str) -> Response:
    """Revoke a refresh token (RFC 7009)."""
    return call("revoke", form_event("/revoke", {"token": token, **parameters}))


def change_password(account: Account, *, current: str = PASSWORD, new: str = NEW_PASSWORD, **options: Any) -> Response:
    """Change the password of ``account``, in its first session or in the session of ``token``."""
    user_id, token = options.pop("user_id", account.id), options.pop("token", account.access_token)
    body = json.dumps({"current_password": current, "new_password": new}).encode()
    path = f"/users/{user_id}/password"
    return call_as(token, "change_password", "PUT", path, path_parameters={"id": user_id}, body=body, **options)


def session_id(token: str) -> str:
    """Return the id of the session of an access token."""
    identifier: str = authorize(token)["context"]["session_id"]
    return identifier


def is_session_accepted(user_id: str, pair: Mapping[str, Any]) -> bool:
    """Return whether the access token of a session is accepted. Fail if that differs from its refresh token."""
    works = get_user(user_id, token=pair["access_token"]).status == 200
    assert (refresh(pair["refresh_token"]).status == 200) is works
    return works


def expire_step_ups(database: Database) -> None:
    """Make every step-up token expired, also those of logins."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.execute(update(sessions).values(step_up_expires_at=past, auth_time=past - STEP_UP_TOKEN_LIFETIME))


def log_out(token: str) -> Response:
    """Log out of the session of an access token."""
    return call_as(token, "sessions", "POST", "/logout")


def step_up(token: str, body: Mapping[str, Any] | None = None, **options: Any) -> Response:
    """Send ``POST /step-up``. Without a body the response lists the methods."""
    return call_as(token, "step_up", "POST", "/step-up", body=json.dumps(body or {}).encode(), **options)


def call_as(token: str, function: str, method: str, path: str, **options: Any) -> Response:
    """Call the authorizer, then a protected function with the authorizer's context, as the gateway does.

    The request has the newest step-up token that was issued for this access token. ``step_up_token`` replaces that
    token. None leaves it out: an attacker who has stolen only the access token has no step-up token.
    """
    step_up_token = options.pop("step_up_token", step_up_token_of(token))
    headers = {"Step-Up-Token": step_up_token} if step_up_token is not None else {}
    headers |= options.pop("headers", {})
    event = proxy_event(method, path, authorizer=authorize(token)["context"], headers=headers, **options)
    response = call(function, event)
    if path == "/step-up" and "step_up_token" in response.text:
        remember_step_up(token, response.json["step_up_token"])
    return response


def erase(email: str = EMAIL) -> None:
    """Erase a user with the rights of an operator."""
    with acting_as("admin"):
        erase_user(email)

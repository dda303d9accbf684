"""People who register and log in."""

from dataclasses import dataclass
from typing import Any

from auth_common.services.erasure import erase_user
from tests.support import leaks
from tests.support.databases import acting_as
from tests.support.events import json_event, proxy_event
from tests.support.functions import Answer, authorize, call

EMAIL = "person@example.com"
PASSWORD = "violet anchor seventeen drums"


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user who has logged in."""

    id: str
    email: str
    access_token: str
    refresh_token: str


def registration(**changes: Any) -> dict[str, Any]:
    """Return the body of a good registration, with ``changes``."""
    leaks.remember(PASSWORD)
    return {
        "name": "Test Person",
        "email": EMAIL,
        "date_of_birth": "1980-04-14",
        "job_title": "Engineer",
        "password": PASSWORD,
        **changes,
    }


def register(**changes: Any) -> Answer:
    """Register."""
    return call("register", json_event("POST", "/users", registration(**changes)))


def log_in(email: str = EMAIL, password: str = PASSWORD, **identity: str) -> Answer:
    """Log in with a password."""
    return call("login", json_event("POST", "/login", {"email": email, "password": password}, **identity))


def sign_up(email: str = EMAIL) -> Account:
    """Register, log in, and return the account with its tokens."""
    user = register(email=email)
    assert user.status == 201, user.text
    pair = log_in(email)
    assert pair.status == 200, pair.text
    return Account(user.json["id"], email, pair.json["access_token"], pair.json["refresh_token"])


def get_user(user_id: str, *, token: str) -> Answer:
    """Fetch a user."""
    return call_as(token, "get_user", "GET", f"/users/{user_id}", path_parameters={"id": user_id})


def refresh(token: str) -> Answer:
    """Exchange a refresh token."""
    return call("refresh", json_event("POST", "/token/refresh", {"refresh_token": token}))


def log_out(token: str) -> Answer:
    """End the session of an access token."""
    return call_as(token, "sessions", "POST", "/logout")


def call_as(token: str, function: str, method: str, path: str, **options: Any) -> Answer:
    """Call a protected function as the gateway does: through the authorizer, whose context the function gets."""
    return call(function, proxy_event(method, path, authorizer=authorize(token)["context"], **options))


def erase(email: str = EMAIL) -> None:
    """Erase a user, as an operator does."""
    with acting_as("admin"):
        erase_user(email)

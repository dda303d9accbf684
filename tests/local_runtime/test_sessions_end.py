"""A revoked session is rejected at the next request, although the gateway has cached the authorizer's result.

The tests use the real local runtime with its workers and the authorizer's cache. The operator's commands run in another
process on the same data.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from auth_common.web.protected_routes import PROTECTED_ROUTES
from tests.support import leaks
from tests.support.databases import start_fresh_environment
from tests.support.factories import PASSWORD, registration
from tests.support.functions import kid_of
from tests.support.runtime import Runtime

pytestmark = [pytest.mark.local_runtime, pytest.mark.xdist_group("local-service")]

#: The request bodies of the routes that need one.
BODIES: dict[str, dict[str, object]] = {
    "/step-up": {"current_password": PASSWORD},
    "/webauthn/register/begin": {},
    "/webauthn/register/complete": {"challenge_id": "none", "credential": {}},
    "/webauthn/credentials/*": {"name": "A key"},
    "/users/*/email": {"new_email": "new@example.com"},
    "/users/*/password": {"current_password": PASSWORD, "new_password": "another good sentence of words"},
}


@dataclass(frozen=True)
class LoggedInUser:
    """A client with a session of a user."""

    client: httpx.Client
    id: str
    email: str
    pair: dict[str, str]

    def request(self, method: str, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.pair['access_token']}"}
        if "step_up_token" in self.pair:
            headers["Step-Up-Token"] = self.pair["step_up_token"]
        return self.client.request(method, path, headers=headers, json=BODIES.get(path.replace(self.id, "*")))

    def refresh(self) -> httpx.Response:
        return self.client.post("/token/refresh", json={"refresh_token": self.pair["refresh_token"]})

    def log_in(self) -> "LoggedInUser":
        """Return the same user in a new session."""
        response = self.client.post("/login", json={"email": self.email, "password": PASSWORD})
        leaks.remember(*leaks.secrets_in(response.raise_for_status().json()))
        return LoggedInUser(self.client, self.id, self.email, response.json())


@pytest.fixture
def user(client: httpx.Client) -> LoggedInUser:
    email = f"{uuid4()}@example.com"
    profile = client.post("/users", json=registration(email=email)).raise_for_status().json()
    user = LoggedInUser(client, profile["id"], email, {}).log_in()
    for path in (f"/users/{user.id}", "/sessions"):
        assert user.request("GET", path).status_code == 200  # the gateway caches the policy
    return user


@pytest.fixture
def run(
    service: Runtime, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run an operator's command on the data of the service. Return its output."""
    monkeypatch.setenv("DATA_DIR", str(service.log_file.parent))

    def run(command: str, *arguments: str) -> str:
        start_fresh_environment()
        assert importlib.import_module(f"tools.operators.{command}").main(arguments) == 0
        return capsys.readouterr().out

    return run


def is_revoked(user):
    """Return whether all protected routes and the refresh reject the session."""
    routes = [route.replace("*", user.id).split("/", 1) for route in PROTECTED_ROUTES]
    responses = [*(user.request(method, f"/{path}") for method, path in routes), user.refresh()]
    rejections = [(401, "invalid_token")] * len(routes) + [(401, "invalid_refresh_token")]
    return [(response.status_code, response.json()["code"]) for response in responses] == rejections


def test_session_after_logout_or_revocation_is_rejected(user):
    other, third = user.log_in(), user.log_in()
    assert user.request("POST", "/logout").status_code == 204
    assert is_revoked(user)
    (session,) = [item for item in third.request("GET", "/sessions").json()["items"] if not item["current"]]
    assert third.request("DELETE", f"/sessions/{session['id']}").status_code == 204
    assert is_revoked(other)
    assert third.request("GET", "/sessions").status_code == 200


def test_sessions_after_revocation_of_all_are_rejected(user):
    other = user.log_in()
    assert other.request("DELETE", "/sessions").status_code == 204
    assert is_revoked(user)
    assert is_revoked(other)


def test_session_after_reuse_of_a_refresh_token_is_rejected(user):
    newest = user.refresh().json()
    newest = user.client.post("/token/refresh", json={"refresh_token": newest["refresh_token"]}).json()
    assert user.refresh().status_code == 401
    assert is_revoked(user)
    assert is_revoked(replace(user, pair=newest))


@pytest.mark.asvs("8.3.2")
def test_session_of_a_disabled_user_is_rejected_permanently(user, run):
    run("accounts", "disable", user.email)
    assert is_revoked(user)
    assert user.client.post("/login", json={"email": user.email, "password": PASSWORD}).status_code == 401
    run("accounts", "enable", user.email)
    assert is_revoked(user)
    again = user.log_in()
    assert again.request("GET", "/sessions").status_code == 200
    run("accounts", "end-sessions", user.email)
    assert is_revoked(again)
    assert user.log_in().request("GET", "/sessions").status_code == 200


def test_session_after_a_change_of_role_is_rejected(user, run):
    unknown_user = f"/users/{uuid4()}"
    assert user.request("GET", unknown_user).status_code == 403
    run("accounts", "role", user.email, "admin")
    assert is_revoked(user)
    admin = user.log_in()
    assert admin.request("GET", unknown_user).status_code == 404
    run("accounts", "role", user.email, "user")
    assert is_revoked(admin)
    assert user.log_in().request("GET", unknown_user).status_code == 403


def test_new_signing_key_needs_no_restart_and_revokes_no_session(user, run):
    old = kid_of(user.pair["access_token"])
    kid = run("keys", "rotate").splitlines()[-1].split()[2]
    assert user.request("GET", "/sessions").status_code == 200
    new_session = user.log_in()
    for renewed in (new_session, replace(user, pair=user.refresh().json())):
        assert kid_of(renewed.pair["access_token"]) == kid != old
        assert renewed.request("GET", f"/users/{user.id}").status_code == 200
    published = user.client.get("/.well-known/jwks.json").json()["keys"]
    assert [jwk["kid"] for jwk in published][:2] == [kid, old]
    assert user.request("GET", f"/users/{user.id}").status_code == 200

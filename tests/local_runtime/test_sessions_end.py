"""What ends a session, ends it at the very next request, although the gateway has the authorizer's answer in its cache.

Everything is real: the service in its worker processes, the authorizer's cache, and the operator's commands in
another process, over the same data while it is being served.
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

#: The bodies of the routes that need one. None of the ceremonies has begun.
BODIES: dict[str, dict[str, object]] = {
    "/step-up": {"current_password": PASSWORD},
    "/webauthn/register/begin": {},
    "/webauthn/register/complete": {"challenge_id": "none", "credential": {}},
    "/webauthn/credentials/*": {"name": "A key"},
    "/users/*/password": {"current_password": PASSWORD, "new_password": "another good sentence of words"},
}


@dataclass(frozen=True)
class Person:
    """A client of one user, logged in."""

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

    def log_in(self) -> "Person":
        """Return the same user in a new session."""
        answer = self.client.post("/login", json={"email": self.email, "password": PASSWORD})
        leaks.remember(*leaks.secrets_in(answer.raise_for_status().json()))
        return Person(self.client, self.id, self.email, answer.json())


@pytest.fixture
def person(client: httpx.Client) -> Person:
    email = f"{uuid4()}@example.com"
    user = client.post("/users", json=registration(email=email)).raise_for_status().json()
    person = Person(client, user["id"], email, {}).log_in()
    for path in (f"/users/{person.id}", "/sessions"):
        assert person.request("GET", path).status_code == 200  # from here on the policy is in the gateway's cache
    return person


@pytest.fixture
def run(
    service: Runtime, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command of the operator's over the service's data and return what it prints."""
    monkeypatch.setenv("DATA_DIR", str(service.log_file.parent))

    def run(command: str, *arguments: str) -> str:
        start_fresh_environment()
        assert importlib.import_module(f"tools.operators.{command}").main(arguments) == 0
        return capsys.readouterr().out

    return run


def has_ended(person):
    """Return whether each protected route and the refresh reject a session. None of them may differ."""
    routes = [route.replace("*", person.id).split("/", 1) for route in PROTECTED_ROUTES]
    answers = [*(person.request(method, f"/{path}") for method, path in routes), person.refresh()]
    rejections = [(401, "invalid_token")] * len(routes) + [(401, "invalid_refresh_token")]
    return [(answer.status_code, answer.json()["code"]) for answer in answers] == rejections


def test_session_that_logs_out_or_is_revoked_by_another_has_ended(person):
    other, third = person.log_in(), person.log_in()
    assert person.request("POST", "/logout").status_code == 204
    assert has_ended(person)
    (session,) = [item for item in third.request("GET", "/sessions").json()["items"] if not item["current"]]
    assert third.request("DELETE", f"/sessions/{session['id']}").status_code == 204
    assert has_ended(other)
    assert third.request("GET", "/sessions").status_code == 200


def test_sessions_that_are_all_revoked_have_ended(person):
    other = person.log_in()
    assert other.request("DELETE", "/sessions").status_code == 204
    assert has_ended(person)
    assert has_ended(other)


def test_session_whose_spent_refresh_token_is_used_again_has_ended(person):
    newest = person.refresh().json()
    newest = person.client.post("/token/refresh", json={"refresh_token": newest["refresh_token"]}).json()
    assert person.refresh().status_code == 401
    assert has_ended(person)
    assert has_ended(replace(person, pair=newest))


@pytest.mark.asvs("8.3.2")
def test_session_of_a_disabled_user_has_ended_for_good(person, run):
    run("accounts", "disable", person.email)
    assert has_ended(person)
    assert person.client.post("/login", json={"email": person.email, "password": PASSWORD}).status_code == 401
    run("accounts", "enable", person.email)
    assert has_ended(person)
    again = person.log_in()
    assert again.request("GET", "/sessions").status_code == 200
    run("accounts", "end-sessions", person.email)
    assert has_ended(again)
    assert person.log_in().request("GET", "/sessions").status_code == 200


def test_session_of_a_user_whose_role_changes_has_ended(person, run):
    nobody = f"/users/{uuid4()}"
    assert person.request("GET", nobody).status_code == 403
    run("accounts", "role", person.email, "admin")
    assert has_ended(person)
    admin = person.log_in()
    assert admin.request("GET", nobody).status_code == 404
    run("accounts", "role", person.email, "user")
    assert has_ended(admin)
    assert person.log_in().request("GET", nobody).status_code == 403


def test_new_signing_key_is_used_without_a_restart_and_ends_no_session(person, run):
    old = kid_of(person.pair["access_token"])
    kid = run("keys", "rotate").splitlines()[-1].split()[2]
    assert person.request("GET", "/sessions").status_code == 200
    newcomer = person.log_in()
    for renewed in (newcomer, replace(person, pair=person.refresh().json())):
        assert kid_of(renewed.pair["access_token"]) == kid != old
        assert renewed.request("GET", f"/users/{person.id}").status_code == 200
    published = person.client.get("/.well-known/jwks.json").json()["keys"]
    assert [jwk["kid"] for jwk in published][:2] == [kid, old]
    assert person.request("GET", f"/users/{person.id}").status_code == 200

"""What ends a session, ends it at the very next request, although the gateway has the authorizer's answer in its cache.

Everything is real: the service in its worker processes, the authorizer's cache, and the operator's commands in
processes of their own, over the same data while it is being served.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from auth_common.services.authorization import PROTECTED_ROUTES
from tests.support import leaks
from tests.support.factories import PASSWORD, registration
from tests.support.runtime import PROJECT, Runtime, running_runtime

pytestmark = pytest.mark.local_runtime

#: What the routes want that want something; none of it has been prepared.
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


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with running_runtime(tmp_path_factory.mktemp("ending") / "data") as runtime:
        yield runtime


@pytest.fixture(scope="module")
def client(service: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture
def person(client: httpx.Client) -> Person:
    email = f"{uuid4()}@example.com"
    user = client.post("/users", json=registration(email=email)).raise_for_status().json()
    person = Person(client, user["id"], email, {}).log_in()
    for path in (f"/users/{person.id}", "/sessions"):
        assert person.request("GET", path).status_code == 200  # from here on the policy is in the gateway's cache
    return person


@pytest.fixture
def run(service: Runtime) -> Callable[..., str]:
    """Run a command of the operator's over the service's data and return what it prints."""
    environment = {**os.environ, "DATA_DIR": str(service.log_file.parent)}

    def run(command: str, *arguments: str) -> str:
        executable = Path(sys.executable).with_name(command)
        return subprocess.check_output([executable, *arguments], cwd=PROJECT, env=environment, text=True)

    return run


def kid_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"]


def has_ended(person):
    """Tell whether each protected route and the refresh refuse a session; none of them may differ."""
    routes = [route.replace("*", person.id).split("/", 1) for route in PROTECTED_ROUTES]
    answers = [person.request(method, f"/{path}") for method, path in routes]
    return [(answer.status_code, answer.json()["code"]) for answer in (*answers, person.refresh())] == [
        *[(401, "invalid_token")] * len(routes),
        (401, "invalid_refresh_token"),
    ]


def test_a_logout(person):
    other = person.log_in()
    assert person.request("POST", "/logout").status_code == 204
    assert has_ended(person)
    assert other.request("GET", "/sessions").status_code == 200


def test_the_end_of_one_session_by_another(person):
    other = person.log_in()
    (session,) = [item for item in other.request("GET", "/sessions").json()["items"] if not item["current"]]
    assert other.request("DELETE", f"/sessions/{session['id']}").status_code == 204
    assert has_ended(person)
    assert other.request("GET", "/sessions").status_code == 200


def test_the_end_of_all_sessions(person):
    other = person.log_in()
    assert other.request("DELETE", "/sessions").status_code == 204
    assert has_ended(person)
    assert has_ended(other)


def test_the_reuse_of_a_spent_refresh_token(person):
    newest = person.refresh().json()
    newest = person.client.post("/token/refresh", json={"refresh_token": newest["refresh_token"]}).json()
    assert person.refresh().status_code == 401
    assert has_ended(person)
    assert has_ended(Person(person.client, person.id, person.email, newest))


@pytest.mark.asvs("8.3.2")
def test_disabling_until_enabling(person, run):
    run("accounts", "disable", person.email)
    assert has_ended(person)
    assert person.client.post("/login", json={"email": person.email, "password": PASSWORD}).status_code == 401
    run("accounts", "enable", person.email)
    assert has_ended(person)
    assert person.log_in().request("GET", "/sessions").status_code == 200


def test_the_end_of_all_sessions_by_an_operator(person, run):
    run("accounts", "end-sessions", person.email)
    assert has_ended(person)
    assert person.log_in().request("GET", "/sessions").status_code == 200


def test_a_role_given_and_taken(person, run):
    nobody = f"/users/{uuid4()}"
    assert person.request("GET", nobody).status_code == 403
    run("accounts", "role", person.email, "admin")
    assert has_ended(person)
    admin = person.log_in()
    assert admin.request("GET", nobody).status_code == 404
    run("accounts", "role", person.email, "user")
    assert has_ended(admin)
    assert person.log_in().request("GET", nobody).status_code == 403


def test_a_new_key_is_taken_up_without_a_restart_and_ends_nothing(person, run):
    old = kid_of(person.pair["access_token"])
    kid = run("keys", "rotate").splitlines()[-1].split()[2]
    assert person.request("GET", "/sessions").status_code == 200
    newcomer = person.log_in()
    refreshed = Person(person.client, person.id, person.email, person.refresh().json())
    for renewed in (newcomer, refreshed):
        assert kid_of(renewed.pair["access_token"]) == kid != old
        assert renewed.request("GET", f"/users/{person.id}").status_code == 200
    published = person.client.get("/.well-known/jwks.json").json()["keys"]
    assert [jwk["kid"] for jwk in published] == [kid, old]
    assert person.request("GET", f"/users/{person.id}").status_code == 200

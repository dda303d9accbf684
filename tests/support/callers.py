"""Users who call a running service over HTTP."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.support.factories import registration
from tests.support.runtime import PROJECT
from tools.authenticator.software_authenticator import SoftwareAuthenticator

Headers = dict[str, str]


@dataclass
class Caller:
    """A registered user, who logs in when a request needs a session."""

    client: httpx.Client
    email: str = field(default_factory=lambda: f"{uuid4()}@example.com")
    #: The authenticator of a user with a passkey.
    device: SoftwareAuthenticator | None = None
    id: str = field(init=False)
    _headers: Headers | None = None
    _step_up_headers: Headers = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id = self._post("/users", registration(email=self.email))["id"]

    def headers(self) -> Headers:
        """Return the Authorization header of the current session, after a login if there is none."""
        if self._headers is None:
            self._headers = self._log_in()
        return self._headers

    def step_up_headers(self) -> Headers:
        """Return the Step-Up-Token header that the login of the current session issued."""
        self.headers()
        return self._step_up_headers

    def forget_session(self) -> None:
        """Discard the session, so that the next request logs in again."""
        self._headers = None

    def _log_in(self) -> Headers:
        outcome = self._post("/login", {"email": self.email, "password": registration()["password"]})
        if self.device and "access_token" in outcome:
            self._add_passkey(self.device, _bearer(outcome) | _step_up(outcome))
            return self._log_in()
        if self.device:
            ceremony = self._post("/webauthn/login/begin", {"mfa_token": outcome["mfa_token"]})
            outcome = self._post("/webauthn/login/complete", _answer(ceremony, self.device.authenticate))
        self._step_up_headers = _step_up(outcome)
        return _bearer(outcome)

    def _add_passkey(self, device: SoftwareAuthenticator, headers: Headers) -> None:
        ceremony = self._post("/webauthn/register/begin", {}, headers)
        self._post("/webauthn/register/complete", _answer(ceremony, device.register), headers)

    def _post(self, path: str, body: Any, headers: Headers | None = None) -> Any:
        return self.client.post(path, json=body, headers=headers).raise_for_status().json()


def caller_with_role(role: str, client: httpx.Client, data_dir: Path) -> Caller:
    """Register a user with this role and a passkey."""
    caller = Caller(client, device=SoftwareAuthenticator(origin=str(client.base_url).rstrip("/")))
    give_role(data_dir, caller.email, role)
    return caller


def give_role(data_dir: Path, email: str, role: str) -> None:
    """Give a user a role with the operator's command."""
    _run_accounts(data_dir, "role", email, role)


def erase(data_dir: Path, email: str) -> None:
    """Erase a user with the operator's command."""
    _run_accounts(data_dir, "erase", email, "--yes")


def _run_accounts(data_dir: Path, *arguments: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("accounts"), *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATA_DIR": str(data_dir)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _bearer(tokens: dict[str, Any]) -> Headers:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def _step_up(tokens: dict[str, Any]) -> Headers:
    return {"Step-Up-Token": tokens["step_up_token"]}


def _answer(ceremony: dict[str, Any], authenticator: Any) -> dict[str, Any]:
    return {"challenge_id": ceremony["challenge_id"], "credential": authenticator(ceremony["options"])}

"""Ours: authorizer and function for each call, as at the gateway while its cache has nothing."""

import json
import os
import sys
from pathlib import Path

from auth_common.passwords.hashing import hash_password, verify_password
from benchmarks.quick_starts.conversation import EMAIL, OK, PASSWORD, talk
from functions.authorizer.app import handler as authorizer
from functions.get_user.app import handler as get_user
from functions.login.app import handler as login
from tests.support.events import authorizer_event, json_event, lambda_context, proxy_event

_PROJECT = Path(__file__).parents[2]
_CONTEXT = lambda_context("peer")


class Service:
    """The functions, called in this process."""

    def __init__(self) -> None:
        """Have no hash before it is asked for."""
        self._stored = ""

    def set_up(self) -> str:
        """Make tables and a person."""
        from functions.register.app import handler as register  # noqa: PLC0415 - not one of those that are measured

        person = {"name": "Test Person", "date_of_birth": "1980-04-14", "job_title": "Engineer"}
        answer = register(json_event("POST", "/users", {**person, "email": EMAIL, "password": PASSWORD}), _CONTEXT)
        assert answer["statusCode"] == 201, answer
        return self.log_in()

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Say how one asks who one is."""
        caller = authorizer(authorizer_event(f"Bearer {token}"), _CONTEXT)
        return f"/users/{caller['principalId']}", {"Authorization": f"Bearer {token}"}

    def me(self, token: str) -> None:
        """Ask who they are."""
        caller = authorizer(authorizer_event(f"Bearer {token}"), _CONTEXT)
        user_id = caller["principalId"]
        event = proxy_event("GET", f"/users/{user_id}", path_parameters={"id": user_id}, authorizer=caller["context"])
        answer = get_user(event, _CONTEXT)
        assert (answer["statusCode"], json.loads(answer["body"])["email"]) == (OK, EMAIL)

    def log_in(self) -> str:
        """Log in with JSON."""
        answer = login(json_event("POST", "/login", {"email": EMAIL, "password": PASSWORD}), _CONTEXT)
        assert answer["statusCode"] == OK, answer
        token: str = json.loads(answer["body"])["access_token"]
        return token

    def check_hash(self) -> None:
        """Check the password."""
        self._stored = self._stored or hash_password(PASSWORD)
        assert verify_password(PASSWORD, self._stored)

    def serve(self, port: int) -> None:
        """Serve with the local runtime: a gateway's process, and one for each function."""
        environment = {**os.environ, "PORT": str(port), "DATA_DIR": str(Path.cwd())}
        os.chdir(_PROJECT)
        os.execve(sys.executable, [sys.executable, "-m", "local_runtime"], environment)  # noqa: S606


if __name__ == "__main__":
    talk(Service())

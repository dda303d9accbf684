"""This service: each call runs the authorizer and the function, as at the gateway with an empty cache."""

import json
import os
import sys
from pathlib import Path

from auth_common.passwords.hashing import hash_password, verify_password
from benchmarks.quick_starts.peer_process import EMAIL, OK, PASSWORD, run_command
from functions.authorizer.app import handler as authorizer
from functions.get_user.app import handler as get_user
from functions.login.app import handler as login
from tests.support.events import authorizer_event, json_event, lambda_context, proxy_event

_PROJECT = Path(__file__).parents[2]
_CONTEXT = lambda_context("peer")


class Service:
    """The functions, called in this process."""

    def __init__(self) -> None:
        """Make the event of a login, which is the gateway's work and is not measured. The hash follows later."""
        self._stored = ""
        self._login = json_event("POST", "/login", {"email": EMAIL, "password": PASSWORD})

    def set_up(self) -> str:
        """Create the tables and a user, and log in."""
        from functions.register.app import handler as register  # noqa: PLC0415 - not part of a measurement

        profile = {"name": "Test Person", "date_of_birth": "1980-04-14", "job_title": "Engineer"}
        response = register(json_event("POST", "/users", {**profile, "email": EMAIL, "password": PASSWORD}), _CONTEXT)
        assert response["statusCode"] == 201, response
        return self.log_in()

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request for the caller's own data."""
        caller = authorizer(authorizer_event(f"Bearer {token}"), _CONTEXT)
        return f"/users/{caller['principalId']}", {"Authorization": f"Bearer {token}"}

    def me(self, token: str) -> None:
        """Request the caller's own data."""
        caller = authorizer(authorizer_event(f"Bearer {token}"), _CONTEXT)
        user_id = caller["principalId"]
        event = proxy_event("GET", f"/users/{user_id}", path_parameters={"id": user_id}, authorizer=caller["context"])
        response = get_user(event, _CONTEXT)
        assert (response["statusCode"], json.loads(response["body"])["email"]) == (OK, EMAIL)

    def log_in(self) -> str:
        """Log in with JSON."""
        response = login(self._login, _CONTEXT)
        assert response["statusCode"] == OK, response
        token: str = json.loads(response["body"])["access_token"]
        return token

    def check_hash(self) -> None:
        """Check the password against its hash."""
        self._stored = self._stored or hash_password(PASSWORD)
        assert verify_password(PASSWORD, self._stored)

    def serve(self, port: int) -> None:
        """Serve with the local runtime: one process for the gateway, and one for each function."""
        environment = {**os.environ, "PORT": str(port), "DATA_DIR": str(Path.cwd())}
        os.chdir(_PROJECT)
        os.execve(sys.executable, [sys.executable, "-m", "local_runtime"], environment)  # noqa: S606


if __name__ == "__main__":
    run_command(Service())

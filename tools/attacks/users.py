"""Users of the attacked service: create accounts, log in and refresh tokens, for victims and attackers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from tools.attacks.target import PROJECT, Response, Target, runtime_environment

PASSWORD: Final = "violet anchor seventeen drums"
NEW_PASSWORD: Final = "silver kettle ninety meadows"
#: How often, and after which pause, the mailbox is read again if a mail is missing.
_TRIES: Final = 100
_PAUSE_SECONDS: Final = 0.1
_numbers = count(1)


class SetUpFailed(Exception):
    """The preparation of an attack failed, so the attack itself would prove nothing."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the service."""

    id: str
    email: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens in the response to a login or a refresh. ``step_up`` is None after a refresh."""

    access: str
    refresh: str
    step_up: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail with a link. ``code`` is None if the mail has no code."""

    token: str
    code: str | None


def new_email(name: str) -> str:
    """Return an e-mail address that no account has. It starts with ``name``."""
    return f"{name}-{next(_numbers)}@example.com"


def registration(email: str, **further: str) -> dict[str, str]:
    """Return the request body of a registration."""
    return {
        "name": "Test User",
        "email": email,
        "date_of_birth": "1980-04-14",
        "job_title": "Engineer",
        "password": PASSWORD,
        **further,
    }


def register(target: Target, name: str) -> User:
    """Create an account and return its user."""
    email = new_email(name)
    document = _required(target.send("POST", "/users", registration(email)), HTTPStatus.CREATED)
    return User(document["id"], email)


def register_users(target: Target, number: int) -> list[User]:
    """Create ``number`` accounts and return their users."""
    return [register(target, "user") for _ in range(number)]


def try_password(target: Target, email: str, password: str) -> Response:
    """Send a login request and return the response."""
    return target.send("POST", "/login", {"email": email, "password": password})


def log_in(target: Target, user: User, password: str = PASSWORD) -> Tokens:
    """Log in with the right password and return the tokens."""
    return _tokens(try_password(target, user.email, password))


def try_refresh(target: Target, refresh_token: str, **further: str) -> Response:
    """Send a refresh request and return the response. ``further`` are more members of the body."""
    return target.send("POST", "/token/refresh", {"refresh_token": refresh_token, **further})


def refresh(target: Target, tokens: Tokens, **further: str) -> Tokens:
    """Refresh the session and return the new tokens."""
    return _tokens(try_refresh(target, tokens.refresh, **further))


def request_reset(target: Target, email: str) -> Response:
    """Request a password reset and return the response."""
    return target.send("POST", "/password/reset", {"email": email})


def complete_reset(target: Target, link: str) -> Response:
    """Set ``NEW_PASSWORD`` by the token of a link, and return the response."""
    return target.send("POST", "/password/reset/complete", {"token": link, "new_password": NEW_PASSWORD})


def newest_mail(target: Target, email: str, page: str) -> Mail:
    """Return the newest mail to an address whose link opens ``page``, such as ``verify-email``.

    The service sends a mail after its response, so this function waits for it.

    Raises:
        SetUpFailed: there is no such mail within ten seconds.

    """
    for _ in range(_TRIES):
        for mail in target.mails_to(email):
            for link in mail["links"]:
                _, opens_page, token = link.partition(f"/{page}.html#token=")
                if opens_page:
                    return Mail(token, next(iter(mail["codes"]), None))
        time.sleep(_PAUSE_SECONDS)
    message = f"no mail with a link to {page}"
    raise SetUpFailed(message)


def verify(target: Target, user: User) -> None:
    """Verify the address of an account by the link in its newest mail."""
    link = newest_mail(target, user.email, "verify-email").token
    _required(verify_by(target, {"token": link, "password": PASSWORD}), HTTPStatus.NO_CONTENT)


def verify_by(target: Target, proofs: Mapping[str, str]) -> Response:
    """Send a request to verify an address, and return the response."""
    return target.send("POST", "/email/verify", dict(proofs))


def wrong_code(email: str, number: int) -> dict[str, str]:
    """Return the request body that verifies an address by a wrong code. Each ``number`` has another code."""
    return {"email": email, "code": f"ZZZZ-{number:04}", "password": PASSWORD}


def run_accounts_command(target: Target, arguments: Sequence[str]) -> None:
    """Run ``uv run accounts`` on the data of the attacked service, as an operator does.

    Raises:
        SetUpFailed: the command failed. The text is its error output.

    """
    _run_command("accounts", target, arguments)


def run_clients_command(target: Target, arguments: Sequence[str]) -> dict[str, Any]:
    """Run ``uv run clients`` on the data of the attacked service, as an operator does. Return its result.

    Raises:
        SetUpFailed: the command failed. The text is its error output.

    """
    result: dict[str, Any] = json.loads(_run_command("clients", target, [*arguments, "--json"]))
    return result


def _run_command(command: str, target: Target, arguments: Sequence[str]) -> str:
    main = f"import sys; from tools.operators.{command} import main; sys.exit(main())"
    run = subprocess.run(  # noqa: S603 - no input from outside
        [sys.executable, "-c", main, *arguments],
        cwd=PROJECT,
        env=runtime_environment(os.environ, data_dir=target.data_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SetUpFailed(run.stderr)
    return run.stdout


def _tokens(response: Response) -> Tokens:
    document = _required(response, HTTPStatus.OK)
    return Tokens(document["access_token"], document["refresh_token"], document.get("step_up_token"))


def _required(response: Response, status: HTTPStatus) -> Any:
    if response.status != status:
        message = f"{response.status} instead of {status}: {response.document}"
        raise SetUpFailed(message)
    return response.document

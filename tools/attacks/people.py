"""People of the attacked service: those who are attacked, and those who attack."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from tools.attacks.target import PROJECT, Answer, Target, runtime_environment

PASSWORD: Final = "violet anchor seventeen drums"
NEW_PASSWORD: Final = "silver kettle ninety meadows"
_numbers = count(1)


class SetUpFailed(Exception):
    """What an attack needs beforehand did not work, so it would prove nothing."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: str
    email: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login or a refresh has returned. ``step_up`` is None after a refresh."""

    access: str
    refresh: str
    step_up: str | None = None


def new_address(name: str) -> str:
    """Return an e-mail address that nobody has."""
    return f"{name}-{next(_numbers)}@example.com"


def registration(email: str, **further: str) -> dict[str, str]:
    """Return the body of a registration."""
    return {
        "name": "Test Person",
        "email": email,
        "date_of_birth": "1980-04-14",
        "job_title": "Engineer",
        "password": PASSWORD,
        **further,
    }


def register(target: Target, name: str) -> Person:
    """Make an account."""
    email = new_address(name)
    document = _required(target.send("POST", "/users", registration(email)), HTTPStatus.CREATED)
    return Person(document["id"], email)


def register_crowd(target: Target, size: int) -> list[Person]:
    """Make many accounts."""
    return [register(target, "person") for _ in range(size)]


def try_password(target: Target, email: str, password: str) -> Answer:
    """Ask for a login."""
    return target.send("POST", "/login", {"email": email, "password": password})


def log_in(target: Target, person: Person) -> Tokens:
    """Log in with the right password."""
    return _tokens(try_password(target, person.email, PASSWORD))


def try_refresh(target: Target, refresh_token: str) -> Answer:
    """Ask for new tokens."""
    return target.send("POST", "/token/refresh", {"refresh_token": refresh_token})


def refresh(target: Target, tokens: Tokens) -> Tokens:
    """Exchange a refresh token."""
    return _tokens(try_refresh(target, tokens.refresh))


def operate(target: Target, arguments: Sequence[str]) -> None:
    """Run ``uv run accounts`` on the attacked service's data, as an operator would beside it."""
    run = subprocess.run(  # noqa: S603 - no input from outside
        [sys.executable, "-c", "import sys; from tools.operators.accounts import main; sys.exit(main())", *arguments],
        cwd=PROJECT,
        env=runtime_environment(os.environ, data_dir=target.data_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SetUpFailed(run.stderr)


def _tokens(answer: Answer) -> Tokens:
    document = _required(answer, HTTPStatus.OK)
    return Tokens(document["access_token"], document["refresh_token"], document.get("step_up_token"))


def _required(answer: Answer, status: HTTPStatus) -> Any:
    if answer.status != status:
        message = f"{answer.status} instead of {status}: {answer.document}"
        raise SetUpFailed(message)
    return answer.document

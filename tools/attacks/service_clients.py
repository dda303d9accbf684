"""Service clients: an attacker has taken over a service, and uses its token as a user's and its name for more."""

import secrets
from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Response, Target
from tools.attacks.users import log_in, register, run_clients_command

#: Below the limit of failures, so that each guess is a security event.
_GUESSES: Final = 20
_RESOURCE: Final = "https://orders.example.com"


def use_a_service_token_as_a_users(target: Target) -> Run:
    """Use the token of a service on routes of users. Then request more than is registered, and guess other secrets."""
    victim = register(target, "victim")
    own = _add_client(target, "taken-over")
    _add_client(target, "billing")
    routes = [
        *(("GET", path) for path in (f"/users/{victim.id}", "/sessions", "/webauthn/credentials", "/audit/events")),
        *(("POST", path) for path in ("/logout", "/step-up", "/webauthn/register/begin")),
        ("DELETE", "/sessions"),
    ]

    def run() -> Breaches:
        token = _request(target, "taken-over", own).document["access_token"]
        breaches = [
            f"{method} {path} accepted the token of a service"
            for method, path in routes
            if target.send(method, path, {} if method == "POST" else None, token=token).status
            != HTTPStatus.UNAUTHORIZED
        ]
        breaches += [
            f"a client got a {name} that is not registered"
            for name in ("scope", "resource")
            if _request(target, "taken-over", own, **{name: "admin"}).status != HTTPStatus.BAD_REQUEST
        ]
        guesses = [_request(target, "billing", f"cs_{secrets.token_urlsafe(32)}").status for _ in range(_GUESSES)]
        if {*guesses} - {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}:
            breaches.append("a guessed secret was accepted")
        if _request(target, "taken-over", own).status != HTTPStatus.OK:
            breaches.append("a client with a valid secret was locked out")
        return breaches

    return run


def use_introspection_as_an_oracle(target: Target) -> Run:
    """Introspect stolen tokens for other services, and other secrets, with the credential of a service."""
    session = log_in(target, register(target, "victim"))
    secret = _add_client(target, "oracle", "--audience", _RESOURCE, "--introspect")
    credentials = {"client_id": "oracle", "client_secret": secret}

    def run() -> Breaches:
        stolen = {"an access token for another service": session.access, "a refresh token": session.refresh}
        breaches = []
        for name, token in stolen.items():
            answers = [target.send_form("/introspect", {"token": token, **credentials}) for _ in range(_GUESSES)]
            if any(answer.document != {"active": False} for answer in answers):
                breaches.append(f"an introspection told about {name}")
        if target.send("GET", "/sessions", token=session.access).status != HTTPStatus.OK:
            breaches.append("an introspection revoked the session")
        return breaches

    return run


def _add_client(target: Target, name: str, *further: str) -> str:
    """Register a client as an operator does, and return its secret."""
    arguments = ["add", name, "--resource", _RESOURCE, "--scope", "orders.read", *further]
    secret: str = run_clients_command(target, arguments)["client_secret"]
    return secret


def _request(target: Target, name: str, secret: str, **further: str) -> Response:
    credentials = {"client_id": name, "client_secret": secret}
    return target.send_form("/token", {"grant_type": "client_credentials", **credentials, **further})

"""Replay of tokens: a copied refresh token, and access tokens that another service has received."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import RESOURCE, Target
from tools.attacks.users import PASSWORD, log_in, refresh, register, try_refresh

#: Requests of one victim to the other service, each with a new access token.
_REPLAYED: Final = 60


def replay_a_refresh_token(target: Target) -> Run:
    """Replay the refresh token before the previous one. The previous one is still accepted in the grace period."""
    stolen = log_in(target, register(target, "victim"))
    current = refresh(target, refresh(target, stolen))

    def run() -> Breaches:
        breaches = []
        if try_refresh(target, stolen.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("a used refresh token was accepted")
        # The service cannot know whether the attacker or the user has the current token, so it must revoke that one
        # too.
        if try_refresh(target, current.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the current refresh token was not revoked")
        if target.send("GET", "/sessions", token=current.access).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the session was not revoked")
        return breaches

    return run


def replay_tokens_of_another_service(target: Target) -> Run:
    """Use access tokens here that another service has received from its callers."""
    victim = register(target, "victim")
    tokens = log_in(target, victim)
    received = []
    for _ in range(_REPLAYED):
        tokens = refresh(target, tokens, resource=RESOURCE)
        received.append(tokens.access)

    def run() -> Breaches:
        requests = (("GET", f"/users/{victim.id}"), ("GET", "/sessions"), ("POST", "/logout"), ("DELETE", "/sessions"))
        statuses = {
            target.send(*requests[number % len(requests)], token=token).status for number, token in enumerate(received)
        }
        breaches = [f"unexpected response {status}" for status in sorted(statuses - {HTTPStatus.UNAUTHORIZED})]
        # A login revokes the session of a valid access token that it gets.
        attacker = register(target, "attacker")
        login = {"email": attacker.email, "password": PASSWORD}
        if target.send("POST", "/login", login, token=received[-1]).status != HTTPStatus.OK:
            breaches.append("the attacker's own login failed")
        if try_refresh(target, tokens.refresh).status != HTTPStatus.OK:
            breaches.append("the victim's session was revoked")
        return breaches

    return run

"""Refresh-token replay: an attacker uses a copied refresh token after the user's client has used it."""

from http import HTTPStatus

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import log_in, refresh, register, try_refresh


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

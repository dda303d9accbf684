"""Refresh-token replay: somebody has copied a token, and uses it after its owner has."""

from http import HTTPStatus

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import log_in, refresh, register, try_refresh
from tools.attacks.target import Target


def replay_a_refresh_token(target: Target) -> Run:
    """Replay the grandparent of the live token: the parent alone is forgiven for some seconds."""
    stolen = log_in(target, register(target, "victim"))
    live = refresh(target, refresh(target, stolen))

    def run() -> Breaches:
        breaches = []
        if try_refresh(target, stolen.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("a spent token was exchanged")
        # The thief may hold the live one just as well: nobody can tell the two apart.
        if try_refresh(target, live.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the live token outlived the theft")
        if target.send("GET", "/sessions", token=live.access).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the session outlived the theft")
        return breaches

    return run

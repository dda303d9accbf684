"""Forged client IPs: an attacker calls the gateway without the proxy, and guesses its lock to evade a rate limit."""

import secrets
from http import HTTPStatus
from typing import Final

from auth_common.settings import Settings
from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target

#: More than one client IP may send in an hour.
_REQUESTS: Final = Settings().throttle_refresh_per_source + 10
_REJECTIONS: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}


def forge_client_ips(target: Target) -> Run:
    """Guess refresh tokens, each time with another lock and client IP. The limit of the real IP must stop it."""

    def run() -> Breaches:
        statuses = []
        for number in range(_REQUESTS):
            forged = target.with_client_ip(f"203.0.113.{number}", lock=secrets.token_hex())
            guess = {"refresh_token": f"rt_{secrets.token_urlsafe(32)}"}
            statuses.append(forged.send("POST", "/token/refresh", guess).status)
        breaches = [f"unexpected response {status}" for status in sorted({*statuses} - _REJECTIONS)]
        if HTTPStatus.TOO_MANY_REQUESTS not in statuses:
            breaches.append("forged client IPs evaded the rate limit")
        return breaches

    return run

"""The attack of the demo: a list of stolen passwords, of which one is right, and what the attacker does with it."""

import random
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from itertools import cycle
from typing import Final

from tools.attacks.users import PASSWORD, try_password, try_refresh
from tools.demo.functions import InProcessTarget
from tools.demo.users import Steps, User

#: E-mail addresses of the list that have no account here.
_STRANGERS: Final = 85
#: Seconds between two attempts.
_PACE: Final = (10, 45)
_CLIENT_IPS: Final = ("192.0.2.66", "192.0.2.140", "198.51.100.23")
_SCRIPT: Final = "python-requests/2.32.5"


def attack(
    service: InProcessTarget,
    users: list[User],
    chance: random.Random,
    *,
    reuser: User,
    guessed: User,
    stolen: list[str],
) -> Steps:
    """Try the list, use the account that it opens, guess the password of another one, and replay a stolen token.

    Args:
        service: The attacked service.
        users: Users with an account, who have other passwords than those in the list.
        chance: Decides the order of the list and the pauses.
        reuser: A user whose password is in the list.
        guessed: A user without a passkey.
        stolen: Refresh tokens, which the browsers of their users have exchanged since.

    """
    services = _client_ips(service)
    attacker = next(services)
    addresses = [*(f"stranger{number}@example.com" for number in range(_STRANGERS)), *(user.email for user in users)]
    chance.shuffle(addresses)
    for address in addresses:
        if try_password(attacker, address, f"the password of {address}").status == HTTPStatus.TOO_MANY_REQUESTS:
            attacker = next(services)
        yield chance.uniform(*_PACE)
    opened = try_password(attacker, reuser.email, PASSWORD)
    for other in users[:8]:
        yield chance.uniform(1, 5)
        attacker.send("GET", f"/users/{other.id}", token=opened.document["access_token"])
    attacker = next(services)
    for number in range(14):
        yield chance.uniform(*_PACE)
        try_password(attacker, guessed.email, f"guess number {number}")
    for token in stolen:
        yield 60
        try_refresh(attacker, token)


def _client_ips(service: InProcessTarget) -> Iterator[InProcessTarget]:
    """Yield the service as three machines of the attacker reach it, again and again."""
    return (replace(service, client_ip=client_ip, user_agent=_SCRIPT) for client_ip in cycle(_CLIENT_IPS))

"""Requests for mails, which any client may send for any address: flood mailboxes, and find out who has an account."""

from http import HTTPStatus
from itertools import cycle
from typing import Any, Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Response, Target
from tools.attacks.users import (
    complete_reset,
    new_email,
    newest_mail,
    register,
    register_users,
    request_reset,
    verify,
    verify_by,
    wrong_code,
)

_VICTIMS_CLIENT_IP: Final = "203.0.113.3"
_ACCEPTED: Final = (HTTPStatus.ACCEPTED, None)
#: Requests for the victim, each from another client IP, and other users whose mailboxes are flooded.
_REQUESTS: Final = 30
_OTHER_USERS: Final = 25
#: More than a client IP may send in an hour.
_REQUESTS_OF_A_CLIENT_IP: Final = 12
#: More than may be tried at one address in a day.
_CODES: Final = 33
_KNOWN_EMAILS: Final = 10
_UNKNOWN_EMAILS: Final = 15


def flood_mailboxes(target: Target) -> Run:
    """Request password resets again and again: for one user who has just requested one, and for many users."""
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)
    victim = register(victims_device, "victim")
    verify(victims_device, victim)
    others = register_users(target, _OTHER_USERS)
    request_reset(victims_device, victim.email)
    own_link = newest_mail(target, victim.email, "reset-password").token

    def run() -> Breaches:
        botnet = [target.with_client_ip(f"192.0.2.{number}") for number in range(_REQUESTS)]
        flood = [request_reset(client, victim.email) for client in botnet]
        flood += [request_reset(client, user.email) for client, user in zip(cycle(botnet), others, strict=False)]
        breaches = [f"unexpected response {status} {code}" for status, code in sorted(_outcomes(flood) - {_ACCEPTED})]
        from_one = [request_reset(target, new_email("unknown")) for _ in range(_REQUESTS_OF_A_CLIENT_IP)]
        if from_one[-1].status != HTTPStatus.TOO_MANY_REQUESTS:
            breaches.append("the requests of one client IP were not stopped")
        # The user's own mail is the only one within five minutes, and no request ends its link.
        if newest_mail(target, victim.email, "reset-password").token != own_link:
            breaches.append("the mailbox of the victim was flooded")
        if complete_reset(victims_device, own_link).status != HTTPStatus.NO_CONTENT:
            breaches.append("the victim's own link was ended")
        return breaches

    return run


def enumerate_accounts_by_reset(target: Target) -> Run:
    """Request resets for addresses with and without an account. Compare the responses, and when limits reject them."""
    verified, unverified = register(target, "verified"), register(target, "unverified")
    verify(target, verified)
    probed = {"verified": verified.email, "unverified": unverified.email, "unknown": new_email("unknown")}
    listed = [user.email for user in register_users(target, _KNOWN_EMAILS)]
    listed += [new_email("unknown") for _ in range(_UNKNOWN_EMAILS)]

    def run() -> Breaches:
        seen = {
            kind: _probe([target.with_client_ip(f"192.0.2.{64 * place + n}") for n in range(64)], email)
            for place, (kind, email) in enumerate(probed.items(), start=1)
        }
        breaches = [f"the service shows that an address is {kind}" for kind in seen if seen[kind] != seen["unknown"]]
        clients = [target.with_client_ip(f"198.18.0.{number}") for number in range(len(listed))]
        scan = [request_reset(client, email) for client, email in zip(clients, listed, strict=True)]
        return breaches + [f"unexpected response {status} {code}" for status, code in _outcomes(scan) - {_ACCEPTED}]

    return run


def _probe(clients: list[Target], email: str) -> list[Any]:
    """Return what an attacker sees of an address: responses, and after how many a limit rejects the next."""
    first, *others = clients
    responses = [request_reset(first, email) for _ in range(_REQUESTS_OF_A_CLIENT_IP)]
    responses += [client.send("POST", "/email/verification", {"email": email}) for client in others[:2]]
    responses += [verify_by(client, wrong_code(email, number)) for number, client in enumerate(others[:_CODES])]
    return [(response.status, _without_id(response.document)) for response in responses]


def _without_id(document: Any) -> Any:
    return {name: value for name, value in (document or {}).items() if name != "request_id"}


def _outcomes(responses: list[Response]) -> set[tuple[int, Any]]:
    return {(response.status, (response.document or {}).get("code")) for response in responses}

"""Takeover by a change of the address: an attacker has an access token of a victim, or reads the victim's new mailbox.

A user who has the address of an account can reset its password. So the change is what an attacker wants most.
"""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Response, Target
from tools.attacks.users import PASSWORD, Tokens, User, log_in, new_email, newest_mail, register, try_password, verify

_VICTIMS_CLIENT_IP: Final = "203.0.113.5"
_TRIES: Final = 4
_GUESS: Final = "guessed kettle eleven rivers"
_REJECTED_CHANGES: Final = {(HTTPStatus.FORBIDDEN, "step_up_required"), (HTTPStatus.FORBIDDEN, "forbidden")}


def change_the_address_of_a_victim(target: Target) -> Run:
    """Request a change with a stolen access token. Then confirm the victim's own change by its link and code.

    The attacker has neither the victim's password nor a step-up token, and reads the mailbox of the victim's new
    address. The attacker also has an account with a step-up token.
    """
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)
    victim = register(victims_device, "victim")
    verify(victims_device, victim)
    own, stolen = log_in(victims_device, victim), log_in(victims_device, victim)
    attacker = register(target, "attacker")
    verify(target, attacker)
    attackers = log_in(target, attacker)
    victims_new_email = new_email("victim-new")
    _request_change(victims_device, victim, victims_new_email, access=own.access, step_up=own.step_up)
    mail = newest_mail(target, victims_new_email, "confirm-email")

    def run() -> Breaches:
        requested = _request_changes(target, victim, stolen, attackers)
        unexpected = {(response.status, (response.document or {}).get("code")) for response in requested}
        breaches = [
            f"unexpected response {status} {code}" for status, code in sorted(unexpected - _REJECTED_CHANGES, key=str)
        ]
        read = ({"token": mail.token}, {"email": victims_new_email, "code": mail.code})
        confirmed = [
            target.send("POST", "/email/verify", {**found, **proof}, token=token)
            for found in read
            for proof, token in (({}, None), ({"password": _GUESS}, None), ({}, attackers.access))
        ]
        if any(response.status == HTTPStatus.NO_CONTENT for response in confirmed):
            breaches.append("the mail to the new address was enough to confirm the change")
        if try_password(victims_device, victim.email, PASSWORD).status != HTTPStatus.OK:
            breaches.append("the victim cannot log in with the old address")
        confirmation = {"token": mail.token, "password": PASSWORD}
        if victims_device.send("POST", "/email/verify", confirmation).status != HTTPStatus.NO_CONTENT:
            breaches.append("the victim cannot confirm the change")
        return breaches

    return run


def _request_changes(target: Target, victim: User, stolen: Tokens, attackers: Tokens) -> list[Response]:
    """Request changes with the stolen access token, and with the attacker's own session. Return the responses."""
    # No step-up token, an invented one, the attacker's own one, and the access token.
    proofs = (None, "su_" + "A" * 43, attackers.step_up, stolen.access)
    tokens = [(stolen.access, proof) for proof in proofs] + [(attackers.access, attackers.step_up)]
    return [
        _request_change(target, victim, new_email("attacker"), access=access, step_up=step_up)
        for _ in range(_TRIES)
        for access, step_up in tokens
    ]


def _request_change(target: Target, victim: User, email: str, *, access: str, step_up: str | None) -> Response:
    path = f"/users/{victim.id}/email"
    return target.send("PUT", path, {"new_email": email}, token=access, step_up_token=step_up)

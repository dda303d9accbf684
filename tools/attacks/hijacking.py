"""Account pre-hijacking: an attacker registers the addresses of victims, and waits until a victim uses the account.

https://arxiv.org/abs/2205.10174
"""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import (
    NEW_PASSWORD,
    PASSWORD,
    Tokens,
    User,
    log_in,
    newest_mail,
    register_users,
    registration,
    request_reset,
    try_password,
    try_refresh,
    verify_by,
)
from tools.authenticator.software_authenticator import SoftwareAuthenticator

_VICTIMS: Final = 30
_VICTIMS_CLIENT_IP: Final = "203.0.113.4"
_VICTIMS_PASSWORD: Final = "marble ferry twelve orchards"


def prepare_accounts_of_victims(target: Target) -> Run:
    """Register many addresses. One victim opens the link of the mail, and then registers again as a mail offers it.

    The attacker has the passwords, the sessions, the refresh tokens and a passkey of the victim's first account.
    """
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)

    def run() -> Breaches:
        prepared, *_ = register_users(target, _VICTIMS)
        first = log_in(target, prepared)
        link = newest_mail(target, prepared.email, "verify-email").token
        proofs: list[dict[str, str]] = [{}, {"password": _VICTIMS_PASSWORD}]
        responses = [verify_by(victims_device, {"token": link, **proof}) for proof in proofs]
        breaches = []
        if any(response.status == HTTPStatus.NO_CONTENT for response in responses):
            breaches.append("the victim's click verified the account of the attacker")
        request_reset(victims_device, prepared.email)
        link = newest_mail(target, prepared.email, "register-again").token
        # This ends the links of other kinds.
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        target.send("PUT", f"/users/{prepared.id}/password", body, token=first.access)
        second = log_in(target, prepared, NEW_PASSWORD)
        passkey = _add_passkey(target, second)
        claim = registration(prepared.email) | {"password": _VICTIMS_PASSWORD, "address_token": link}
        registered = victims_device.send("POST", "/users", claim)
        if registered.status != HTTPStatus.CREATED:
            return [*breaches, "the victim cannot register"]
        if registered.document["id"] == prepared.id:
            breaches.append("the victim got the account of the attacker")
        return breaches + _use_everything(target, prepared, (first, second), passkey)

    return run


def _add_passkey(target: Target, session: Tokens) -> SoftwareAuthenticator:
    authenticator = SoftwareAuthenticator(origin=target.url)
    tokens = {"token": session.access, "step_up_token": session.step_up}
    begun = target.send("POST", "/webauthn/register/begin", {}, **tokens).document
    body = {"challenge_id": begun["challenge_id"], "credential": authenticator.register(begun["options"])}
    target.send("POST", "/webauthn/register/complete", body, **tokens)
    return authenticator


def _use_everything(
    target: Target, prepared: User, sessions: tuple[Tokens, ...], passkey: SoftwareAuthenticator
) -> Breaches:
    """Use everything that the attacker has of the first account. Return what still works."""
    begun = target.send("POST", "/webauthn/login/begin", {}).document
    login = {"challenge_id": begun["challenge_id"], "credential": passkey.authenticate(begun["options"])}
    responses = {
        "password": [try_password(target, prepared.email, password) for password in (PASSWORD, NEW_PASSWORD)],
        "session": [target.send("GET", "/sessions", token=session.access) for session in sessions],
        "refresh token": [try_refresh(target, session.refresh) for session in sessions],
        "passkey": [target.send("POST", "/webauthn/login/complete", login)],
    }
    accepted = [
        f"the attacker's {thing} was accepted"
        for thing, received in responses.items()
        if any(response.status != HTTPStatus.UNAUTHORIZED for response in received)
    ]
    if try_password(target, prepared.email, _VICTIMS_PASSWORD).status != HTTPStatus.OK:
        accepted.append("the victim cannot log in")
    return accepted

"""Guessing: many passwords for one account, one password for each of many accounts, and the codes of mails."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import (
    PASSWORD,
    log_in,
    new_email,
    newest_mail,
    register,
    register_users,
    try_password,
    verify_by,
    wrong_code,
)

_REJECTED: Final = (HTTPStatus.UNAUTHORIZED, "invalid_credentials")
_THROTTLED: Final = (HTTPStatus.TOO_MANY_REQUESTS, "too_many_attempts")
_WRONG_CODE: Final = (HTTPStatus.BAD_REQUEST, "invalid_or_expired_code")

#: E-mail addresses in the stolen list without an account, and with one.
_UNKNOWN_EMAILS: Final = 45
_KNOWN_EMAILS: Final = 10
_SPRAYED_ACCOUNTS: Final = 25
_GUESSES: Final = 60
#: The number of wrong codes that end the code.
_MAX_WRONG_CODES: Final = 5
_VICTIMS_CLIENT_IP: Final = "203.0.113.1"


def guess_one_password(target: Target) -> Run:
    """Brute force: try many passwords for one account, first from one client IP and then from many."""
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)
    victim = register(victims_device, "victim")
    log_in(victims_device, victim)

    def run() -> Breaches:
        clients = [target] * (_GUESSES // 2) + [target.with_client_ip(f"192.0.2.{n}") for n in range(_GUESSES // 2)]
        responses = [try_password(client, victim.email, f"guess number {n}") for n, client in enumerate(clients)]
        results = {(response.status, response.document.get("code")) for response in responses}
        breaches = [
            f"unexpected response {status} {code}" for status, code in sorted(results - {_REJECTED, _THROTTLED})
        ]
        if responses[-1].status != HTTPStatus.TOO_MANY_REQUESTS:
            breaches.append("the guessing was not stopped")
        if try_password(victims_device, victim.email, PASSWORD).status != HTTPStatus.OK:
            breaches.append("the user was locked out on their own device")
        return breaches

    return run


def stuff_credentials(target: Target) -> Run:
    """Credential stuffing: try a stolen list of e-mail addresses and passwords. Most addresses have no account."""
    known = [user.email for user in register_users(target, _KNOWN_EMAILS)]
    stolen = [*(new_email("unknown") for _ in range(_UNKNOWN_EMAILS)), *known]
    return lambda: _guess(target, [(email, f"the password of {email} elsewhere") for email in stolen])


def spray_a_password(target: Target) -> Run:
    """Password spraying: try one likely password once for each account, so that no lockout of an account applies."""
    users = register_users(target, _SPRAYED_ACCOUNTS)
    return lambda: _guess(target, [(user.email, "Welcome to spring 2025!") for user in users])


def guess_a_code(target: Target) -> Run:
    """Guess the code that verifies an address. The attacker has registered it, but cannot read its mailbox."""
    account = register(target, "victim")
    access = log_in(target, account).access
    mail = newest_mail(target, account.email, "verify-email")

    def run() -> Breaches:
        wrong = [wrong_code(account.email, number) for number in range(_GUESSES)]
        right = {"email": account.email, "code": str(mail.code), "password": PASSWORD}
        # After so many wrong codes, the right one is too late.
        guesses = [*wrong[:_MAX_WRONG_CODES], right, *wrong[_MAX_WRONG_CODES:]]
        clients = [target.with_client_ip(f"192.0.2.{number}") for number in range(len(guesses))]
        responses = [verify_by(client, guess) for client, guess in zip(clients, guesses, strict=True)]
        results = {(response.status, (response.document or {}).get("code")) for response in responses}
        unexpected = sorted(results - {_WRONG_CODE, _THROTTLED}, key=str)
        breaches = [f"unexpected response {status} {code}" for status, code in unexpected]
        if responses[-1].status != HTTPStatus.TOO_MANY_REQUESTS:
            breaches.append("the guessing was not stopped")
        if target.send("GET", f"/users/{account.id}", token=access).document.get("email_verified") is not False:
            breaches.append("the address was verified")
        if verify_by(target, {"token": mail.token, "password": PASSWORD}).status != HTTPStatus.NO_CONTENT:
            breaches.append("the guesses ended the link of the mail")
        return breaches

    return run


def _guess(target: Target, pairs: list[tuple[str, str]]) -> Breaches:
    """Send a login for each pair. If the responses differ, they reveal which e-mail addresses have an account."""
    responses = [try_password(target, email, password) for email, password in pairs]
    results = {(response.status, response.document.get("code")) for response in responses}
    if results == {_REJECTED}:
        return []
    return [f"unexpected response {status} {code}" for status, code in sorted(results)]

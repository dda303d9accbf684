"""Guessing at logins: many passwords for one account, or many accounts with few passwords each."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import PASSWORD, log_in, new_address, register, register_crowd, try_password
from tools.attacks.target import Target

_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, "invalid_credentials")
_THROTTLED: Final = (HTTPStatus.TOO_MANY_REQUESTS, "too_many_attempts")

_STRANGERS: Final = 45
_REUSERS: Final = 10
_SPRAYED: Final = 25
_GUESSES: Final = 60
#: What belongs to the account's owner.
_HOME: Final = "203.0.113.1"


def guess_one_password(target: Target) -> Run:
    """Brute force: one account, many passwords, from one address and then from many."""
    home = target.as_from(_HOME)
    victim = register(home, "victim")
    log_in(home, victim)

    def run() -> Breaches:
        sources = [target] * (_GUESSES // 2) + [target.as_from(f"192.0.2.{n}") for n in range(_GUESSES // 2)]
        answers = [try_password(source, victim.email, f"guess number {n}") for n, source in enumerate(sources)]
        words = {(answer.status, answer.document.get("code")) for answer in answers}
        breaches = [f"answered {status} {code}" for status, code in sorted(words - {_REFUSED, _THROTTLED})]
        if answers[-1].status != HTTPStatus.TOO_MANY_REQUESTS:
            breaches.append("nothing stopped the guessing")
        if try_password(home, victim.email, PASSWORD).status != HTTPStatus.OK:
            breaches.append("the owner was locked out on their own device")
        return breaches

    return run


def stuff_credentials(target: Target) -> Run:
    """Credential stuffing: a stolen list of pairs, most of them of people who have no account here."""
    known = [person.email for person in register_crowd(target, _REUSERS)]
    stolen = [*(new_address("stranger") for _ in range(_STRANGERS)), *known]
    return lambda: _guess(target, [(email, f"the password of {email} elsewhere") for email in stolen])


def spray_a_password(target: Target) -> Run:
    """Password spraying: one likely password, once for each account, so that no account is tried twice."""
    people = register_crowd(target, _SPRAYED)
    return lambda: _guess(target, [(person.email, "Welcome to spring 2025!") for person in people])


def _guess(target: Target, pairs: list[tuple[str, str]]) -> Breaches:
    """Every guess must fail, and each in the same words: else the answers say who has an account."""
    answers = [try_password(target, email, password) for email, password in pairs]
    words = {(answer.status, answer.document.get("code")) for answer in answers}
    if words == {_REFUSED}:
        return []
    return [f"answered {status} {code}" for status, code in sorted(words)]

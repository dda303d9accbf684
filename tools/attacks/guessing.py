"""Guessing at logins: many addresses, or many accounts, with few passwords each."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import new_address, register_crowd, try_password
from tools.attacks.target import Target

_STRANGERS: Final = 45
_REUSERS: Final = 10
_SPRAYED: Final = 25


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
    if words == {(HTTPStatus.UNAUTHORIZED, "invalid_credentials")}:
        return []
    return [f"answered {status} {code}" for status, code in sorted(words)]

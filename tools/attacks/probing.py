"""An IDOR scan (OWASP API1:2023): an ordinary account asks for one person's data after another's."""

from http import HTTPStatus
from typing import Final
from uuid import uuid4

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import log_in, register, register_crowd
from tools.attacks.target import Target

_VICTIMS: Final = 10


def scan_for_others_data(target: Target) -> Run:
    """Ask for ids that exist and for as many that do not: the answers must not tell which are which."""
    ids = [*(person.id for person in register_crowd(target, _VICTIMS)), *(str(uuid4()) for _ in range(_VICTIMS))]
    token = log_in(target, register(target, "scanner")).access

    def run() -> Breaches:
        answers = [target.send("GET", f"/users/{user_id}", token=token) for user_id in ids]
        words = {(answer.status, answer.document.get("code")) for answer in answers}
        if words == {(HTTPStatus.FORBIDDEN, "forbidden")}:
            return []
        return [f"answered {status} {code}" for status, code in sorted(words)]

    return run

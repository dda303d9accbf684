"""An hour of ordinary use, in a few seconds: what an alarm must not mistake for an attack.

All of it falls into one period of every alarm, which is harder on them than an hour would be.
"""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import (
    PASSWORD,
    log_in,
    new_address,
    operate,
    refresh,
    register,
    registration,
    try_password,
    try_refresh,
)
from tools.attacks.target import Target

_PEOPLE: Final = 5


def live_through_a_quiet_hour(target: Target) -> Run:
    """Register, mistype, log in, refresh, lose an answer and ask again, log out; an admin looks at one account."""
    admin = register(target, "admin")
    operate(target, ["role", admin.email, "admin"])

    def run() -> Breaches:
        people = [register(target, "person") for _ in range(_PEOPLE)]
        clumsy = people[0]
        refused = [
            # A form that was sent twice, and one with a password that is too short.
            target.send("POST", "/users", registration(clumsy.email)),
            target.send("POST", "/users", registration(new_address("person")) | {"password": "short"}),
            try_password(target, clumsy.email, PASSWORD.upper()),
            try_password(target, clumsy.email, PASSWORD.title()),
            try_password(target, clumsy.email.replace("@", "@mail."), PASSWORD),
        ]
        answers = []
        for person in people:
            tokens = log_in(target, person)
            renewed = refresh(target, tokens)
            # The answer was lost: the same token once more, within the grace period.
            answers.append(try_refresh(target, tokens.refresh))
            answers.append(target.send("GET", f"/users/{person.id}", token=renewed.access))
            answers.append(target.send("POST", "/logout", token=renewed.access))
            # A page that was still open.
            refused.append(target.send("GET", "/sessions", token=renewed.access))
        answers.append(target.send("GET", f"/users/{clumsy.id}", token=log_in(target, admin).access))
        return [
            *(
                f"refused: {answer.status} {answer.document}"
                for answer in answers
                if answer.status >= HTTPStatus.BAD_REQUEST
            ),
            *(f"not refused: {answer.status}" for answer in refused if answer.status < HTTPStatus.BAD_REQUEST),
        ]

    return run

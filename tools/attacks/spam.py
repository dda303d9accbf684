"""Registration spam: accounts in bulk, a second one for a mailbox, and a role of one's own choice."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import new_address, register_crowd, registration
from tools.attacks.target import Target

_NEW: Final = 30
_TAKEN: Final = 5


def spam_registrations(target: Target) -> Run:
    """Register in bulk. New accounts are no breach (anybody may make one); what the alarm sees is their number."""
    taken = [person.email.upper() for person in register_crowd(target, _TAKEN)]

    def run() -> Breaches:
        breaches = []
        for _ in range(_NEW):
            target.send("POST", "/users", registration(new_address("spam")))
        if any(target.send("POST", "/users", registration(email)).status == HTTPStatus.CREATED for email in taken):
            breaches.append("a second account for one mailbox")
        smuggled = registration(new_address("spam"), role="admin")
        if target.send("POST", "/users", smuggled).status == HTTPStatus.CREATED:
            breaches.append("somebody chose their own role")
        return breaches

    return run

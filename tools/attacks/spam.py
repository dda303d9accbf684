"""Registration spam: create many accounts, a second account for an address, and an account with a chosen role."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import new_email, register_users, registration

_NEW_ACCOUNTS: Final = 30
_TAKEN_EMAILS: Final = 5


def spam_registrations(target: Target) -> Run:
    """Register many accounts. A new account is no breach, because registration is open. The alarm counts them."""
    taken = [user.email.upper() for user in register_users(target, _TAKEN_EMAILS)]

    def run() -> Breaches:
        breaches = []
        for _ in range(_NEW_ACCOUNTS):
            target.send("POST", "/users", registration(new_email("spam")))
        if any(target.send("POST", "/users", registration(email)).status == HTTPStatus.CREATED for email in taken):
            breaches.append("a second account for one e-mail address")
        with_role = registration(new_email("spam"), role="admin")
        if target.send("POST", "/users", with_role).status == HTTPStatus.CREATED:
            breaches.append("a client chose its own role")
        return breaches

    return run

"""An hour of ordinary use, in a few seconds. It must raise no alarm.

All requests are in the same period of every alarm, so a false alarm is more likely than in a real hour.
"""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Target
from tools.attacks.users import (
    NEW_PASSWORD,
    PASSWORD,
    complete_reset,
    log_in,
    new_email,
    newest_mail,
    refresh,
    register,
    registration,
    request_reset,
    run_accounts_command,
    try_password,
    try_refresh,
    verify_by,
)

_USERS: Final = 5


def simulate_ordinary_use(target: Target) -> Run:
    """Register, mistype the password, log in, refresh, repeat a refresh, and log out.

    One user verifies the address, and resets the password. An admin reads a user.
    """
    admin = register(target, "admin")
    run_accounts_command(target, ["role", admin.email, "admin"])

    def run() -> Breaches:
        users = [register(target, "user") for _ in range(_USERS)]
        first = users[0]
        rejected = [
            # A form that was sent twice, and a form with a short password.
            target.send("POST", "/users", registration(first.email)),
            target.send("POST", "/users", registration(new_email("user")) | {"password": "short"}),
            try_password(target, first.email, PASSWORD.upper()),
            try_password(target, first.email, PASSWORD.title()),
            try_password(target, first.email.replace("@", "@mail."), PASSWORD),
        ]
        accepted = []
        for user in users:
            tokens = log_in(target, user)
            renewed = refresh(target, tokens)
            # A client that did not get the response sends the same token again, within the grace period.
            accepted.append(try_refresh(target, tokens.refresh))
            accepted.append(target.send("GET", f"/users/{user.id}", token=renewed.access))
            accepted.append(target.send("POST", "/logout", token=renewed.access))
            # A page that is still open sends a request after the logout.
            rejected.append(target.send("GET", "/sessions", token=renewed.access))
        code = newest_mail(target, first.email, "verify-email").code
        accepted.append(verify_by(target, {"email": first.email, "code": str(code), "password": PASSWORD}))
        accepted.append(request_reset(target, first.email))
        accepted.append(complete_reset(target, newest_mail(target, first.email, "reset-password").token))
        accepted.append(try_password(target, first.email, NEW_PASSWORD))
        accepted.append(target.send("GET", f"/users/{first.id}", token=log_in(target, admin).access))
        return [
            *(
                f"rejected: {response.status} {response.document}"
                for response in accepted
                if response.status >= HTTPStatus.BAD_REQUEST
            ),
            *(f"not rejected: {response.status}" for response in rejected if response.status < HTTPStatus.BAD_REQUEST),
        ]

    return run

"""The users of the demo, and what they do on an ordinary day."""

import random
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from tools.attacks.target import Response
from tools.attacks.users import NEW_PASSWORD, PASSWORD, SetUpFailed, registration, try_password, try_refresh
from tools.authenticator.software_authenticator import SoftwareAuthenticator
from tools.demo.functions import InProcessTarget

#: What a user does: steps, with the seconds from each to the next.
Steps: TypeAlias = Iterator[float]

#: The account with the role ``security``. It has no passkey yet.
SECURITY_EMAIL: Final = "security@example.com"
ADMIN_EMAIL: Final = "admin@example.com"

_PHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/19.0 Mobile/15E148 Safari/604.1"
)
_ORIGIN: Final = "http://localhost:8000"
#: Seconds. Pages refresh the access token shortly before its 15 minutes are over.
_REFRESH_AFTER: Final = 14 * 60
#: Probabilities: that a user with a passkey needs no password, mistypes the password, and logs out at the end.
_PASSKEY_ALONE: Final = 0.6
_TYPING_ERROR: Final = 0.12
_LOGOUT: Final = 0.5


@dataclass(slots=True)
class User:
    """A user with a device."""

    email: str
    #: The service, as this user's device reaches it.
    service: InProcessTarget
    passkey: SoftwareAuthenticator | None = None
    id: str = ""
    #: The response of the latest login or refresh.
    tokens: dict[str, Any] = field(default_factory=dict)

    def register(self, name: str) -> None:
        """Register."""
        body = registration(self.email, name=name, job_title="Example")
        self.id = _expect(HTTPStatus.CREATED, self.service.send("POST", "/users", body))["id"]

    def log_in(self) -> None:
        """Log in with the password, and with the passkey if the account has one."""
        outcome = _expect(HTTPStatus.OK, try_password(self.service, self.email, PASSWORD))
        if self.passkey:
            outcome = self._use(self.passkey, {"mfa_token": outcome["mfa_token"]})
        self.tokens = outcome

    def log_in_with(self, passkey: SoftwareAuthenticator) -> None:
        """Log in with the passkey alone."""
        self.tokens = self._use(passkey, {})

    def refresh(self) -> None:
        """Exchange the refresh token."""
        self.tokens = _expect(HTTPStatus.OK, try_refresh(self.service, self.tokens["refresh_token"]))

    def send(self, method: str, path: str, body: Any = None) -> Response:
        """Send a request of the session."""
        return self.service.send(
            method,
            path,
            body,
            token=self.tokens["access_token"],
            step_up_token=self.tokens.get("step_up_token"),
        )

    def add_passkey(self) -> None:
        """Add a passkey to the account, right after a login."""
        device = SoftwareAuthenticator(origin=_ORIGIN)
        begun = _expect(HTTPStatus.OK, self.send("POST", "/webauthn/register/begin", {}))
        body = {"challenge_id": begun["challenge_id"], "credential": device.register(begun["options"])}
        _expect(HTTPStatus.CREATED, self.send("POST", "/webauthn/register/complete", body))
        self.passkey = device

    def _use(self, passkey: SoftwareAuthenticator, proof: dict[str, str]) -> Any:
        begun = _expect(HTTPStatus.OK, self.service.send("POST", "/webauthn/login/begin", proof))
        body = {"challenge_id": begun["challenge_id"], "credential": passkey.authenticate(begun["options"])}
        return _expect(HTTPStatus.OK, self.service.send("POST", "/webauthn/login/complete", body))


def _expect(status: HTTPStatus, response: Response) -> Any:
    """Return the body of a response with this status.

    Raises:
        SetUpFailed: The status is another one.

    """
    if response.status != status:
        message = f"{response.status} instead of {status}: {response.document}"
        raise SetUpFailed(message)
    return response.document


def make_users(service: InProcessTarget, *, number: int) -> list[User]:
    """Return users who are not registered yet, each at a client IP of its own. Every third one has a phone."""
    users = []
    for place in range(1, number + 1):
        user_agent = service.user_agent if place % 3 else _PHONE
        at_home = replace(service, client_ip=f"203.0.113.{place}", user_agent=user_agent)
        users.append(User(f"user{place}@example.com", at_home))
    return users


def visit(user: User, chance: random.Random) -> Steps:
    """Log in, perhaps after a typing error, use the account for a while, and perhaps log out."""
    user = copy(user)  # Visits of one user may overlap, and each has a session of its own.
    if user.passkey and chance.random() < _PASSKEY_ALONE:
        user.log_in_with(user.passkey)
    else:
        while chance.random() < _TYPING_ERROR:
            try_password(user.service, user.email, PASSWORD.title())
            yield chance.uniform(5, 25)
        user.log_in()
    yield 1
    user.send("GET", f"/users/{user.id}")
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        yield _REFRESH_AFTER
        user.refresh()
    if chance.random() < _LOGOUT:
        yield chance.uniform(20, 400)
        user.send("POST", "/logout")


def add_a_passkey(user: User) -> Steps:
    """Log in with the password, and add a passkey."""
    user.log_in()
    yield 20
    user.add_passkey()


def change_the_password(user: User) -> Steps:
    """Log in, and change the password at the second attempt: the first one has a typing error."""
    user.log_in()
    for current in (PASSWORD.upper(), PASSWORD):
        yield 30
        body = {"current_password": current, "new_password": NEW_PASSWORD}
        user.send("PUT", f"/users/{user.id}/password", body)


def register_carelessly(user: User) -> Steps:
    """Send a short password, then a valid one, then the same form again, and log in."""
    short = registration(user.email) | {"password": "too short"}
    user.service.send("POST", "/users", short)
    yield 30
    user.register("Example User")
    yield 2
    user.service.send("POST", "/users", registration(user.email))
    yield 5
    user.log_in()


def follow_an_old_link(user: User, other: User) -> Steps:
    """Log in, and request the data of another user."""
    user.log_in()
    yield 3
    user.send("GET", f"/users/{other.id}")


def look_up(admin: User, users: list[User]) -> Steps:
    """Log in as an administrator, and read the data of some users."""
    admin.log_in()
    for user in users:
        yield 40
        admin.send("GET", f"/users/{user.id}")


def lose_a_token(user: User, stolen: list[str]) -> Steps:
    """Log in, and use the session for half an hour. An attacker has copied the first refresh token into ``stolen``."""
    user.log_in()
    stolen.append(user.tokens["refresh_token"])
    for _ in range(2):
        yield _REFRESH_AFTER
        user.refresh()

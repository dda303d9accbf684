"""Run WebAuthn ceremonies through the functions: adding a passkey, login and step-up."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import leaks
from tests.support.events import json_event
from tests.support.factories import Account, call_as, log_in, sign_up, step_up
from tests.support.functions import Response, call
from tools.authenticator.software_authenticator import SoftwareAuthenticator

ORIGIN = "http://localhost:8000"
Ceremony = dict[str, Any]


def call_webauthn(token: str, method: str, path: str, body: Any = None, **options: Any) -> Response:
    """Call the webauthn function through the authorizer."""
    content = {} if body is None else {"body": json.dumps(body).encode()}
    return call_as(token, "webauthn", method, path, **content, **options)


def post_without_token(path: str, body: Any, **changes: Any) -> Response:
    """Call an open route of the webauthn function."""
    return call("webauthn", json_event("POST", path, body, **changes))


def begin_registration(token: str) -> Ceremony:
    """Begin to add a passkey, and return the challenge and its options."""
    return _begun(call_webauthn(token, "POST", "/webauthn/register/begin", {}))


def complete_registration(token: str, ceremony: Ceremony, credential: Mapping[str, Any], **more: Any) -> Response:
    """Complete the registration of a passkey. ``more`` are further members of the request body."""
    body = {"challenge_id": ceremony["challenge_id"], "credential": credential, **more}
    return call_webauthn(token, "POST", "/webauthn/register/complete", body)


def begin_and_answer_registration(token: str) -> tuple[Ceremony, dict[str, Any]]:
    """Begin to add a passkey, and return the ceremony and the credential that a new authenticator makes for it."""
    ceremony = begin_registration(token)
    return ceremony, SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])


def begin_login(mfa_token: str | None = None) -> Ceremony:
    """Begin a login with a passkey: as the second factor if there is an ``mfa_token``, otherwise as the only one."""
    return _begun(post_without_token("/webauthn/login/begin", {} if mfa_token is None else {"mfa_token": mfa_token}))


def complete_login(ceremony: Ceremony, credential: Mapping[str, Any], **options: Any) -> Response:
    """Complete a login with a passkey."""
    body = {"challenge_id": ceremony["challenge_id"], "credential": credential}
    return post_without_token("/webauthn/login/complete", body, **options)


class TamperingBrowser(SoftwareAuthenticator):
    """A browser whose client data the function ``write`` changes before the authenticator signs them."""

    def __init__(self, write: Callable[[str], bytes], **traits: Any) -> None:
        super().__init__(**{"origin": ORIGIN, **traits})
        self.write = write

    def client_data(self, ceremony: str, challenge: str) -> bytes:
        return self.write(super().client_data(ceremony, challenge).decode())


@dataclass(frozen=True)
class PasskeyHolder:
    """A user with a passkey, and the authenticator that has its private key."""

    account: Account
    passkey_id: str
    authenticator: SoftwareAuthenticator = field(repr=False)

    def get_mfa_token(self) -> str:
        """Log in with the right password, and return the ``mfa_token`` of the response."""
        token: str = log_in(self.account.email).json["mfa_token"]
        return token

    def begin_and_answer_login(self, mfa_token: str | None = None) -> tuple[Ceremony, dict[str, Any]]:
        """Begin a login, as ``begin_login`` does, and return the ceremony and the authenticator's assertion."""
        ceremony = begin_login(mfa_token)
        return ceremony, self.authenticator.authenticate(ceremony["options"])

    def log_in(self) -> Response:
        """Log in with password and passkey."""
        return complete_login(*self.begin_and_answer_login(self.get_mfa_token()))

    def begin_and_answer_step_up(self, token: str) -> dict[str, Any]:
        """Begin a step-up in the session of ``token``, and return the body that completes it."""
        begun = _begun(step_up(token))
        credential = self.authenticator.authenticate(begun["options"])
        return {"challenge_id": begun["challenge_id"], "credential": credential}

    def step_up(self, token: str, **more: Any) -> Response:
        """Step up with the passkey in the session of ``token``."""
        return step_up(token, {**self.begin_and_answer_step_up(token), **more})

    def log_in_with_passkey_alone(self) -> Response:
        """Log in with the passkey alone."""
        return complete_login(*self.begin_and_answer_login())

    def log_in_with(self, *, alone: bool = False, **traits: Any) -> Response:
        """Set attributes of the authenticator, then log in: with both factors, or ``alone`` with the passkey."""
        for name, value in traits.items():
            setattr(self.authenticator, name, value)
        return self.log_in_with_passkey_alone() if alone else self.log_in()


def enrol(account: Account | None = None, **authenticator: Any) -> PasskeyHolder:
    """Add a passkey to ``account``, or to a new account. ``authenticator`` has attributes of its authenticator."""
    account = account or sign_up()
    device = SoftwareAuthenticator(**{"origin": ORIGIN, **authenticator})
    ceremony = begin_registration(account.access_token)
    response = complete_registration(account.access_token, ceremony, device.register(ceremony["options"]))
    assert response.status == 201, response.text
    return PasskeyHolder(account, response.json["id"], device)


def _begun(response: Response) -> Ceremony:
    assert response.status == 200, response.text
    ceremony: Ceremony = response.json
    leaks.remember(ceremony["options"]["challenge"])
    return ceremony

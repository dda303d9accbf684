"""Session theft: an attacker has the tokens of a victim's session, for example from a log or a compromised service."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.target import Response, Target
from tools.attacks.users import NEW_PASSWORD, PASSWORD, Tokens, User, log_in, register, try_password, try_refresh

_GUESSES: Final = 40
#: The number of wrong proofs after which the service revokes the session.
_MAX_WRONG_PROOFS: Final = 5
_WRONG_PASSWORD: Final = (HTTPStatus.BAD_REQUEST, "invalid_current_password")
_REVOKED: Final = (HTTPStatus.UNAUTHORIZED, "invalid_token")
_NO_STEP_UP: Final = (HTTPStatus.FORBIDDEN, "step_up_required")
_VICTIMS_CLIENT_IP: Final = "203.0.113.2"


def guess_in_a_stolen_session(target: Target) -> Run:
    """Guess the password in a stolen session, to take over the account or to lock the victim out.

    Each guess has another client IP. The account has no passkey. The attacker has the access token and the refresh
    token, but not the step-up token.
    """
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)
    victim = register(victims_device, "victim")
    log_in(victims_device, victim)
    stolen = log_in(victims_device, victim)

    def run() -> Breaches:
        attackers = (target.with_client_ip(f"192.0.2.{number}") for number in range(_GUESSES))
        responses = [_guess(attacker, victim, stolen, number) for number, attacker in enumerate(attackers)]
        results = [(response.status, (response.document or {}).get("code")) for response in responses]
        unexpected = sorted({*results} - {_WRONG_PASSWORD, _REVOKED}, key=str)
        breaches = [f"unexpected response {status} {code}" for status, code in unexpected]
        if results.count(_WRONG_PASSWORD) > _MAX_WRONG_PROOFS:
            breaches.append("the guessing was not stopped")
        if try_refresh(target, stolen.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the stolen session was not revoked")
        return breaches + _defend(victims_device, victim)

    return run


def use_a_stolen_access_token(target: Target) -> Run:
    """Use a stolen access token, seconds after the login, to add a passkey and to revoke the victim's sessions."""
    victims_device = target.with_client_ip(_VICTIMS_CLIENT_IP)
    victim = register(victims_device, "victim")
    own = log_in(victims_device, victim)
    stolen = log_in(victims_device, victim)
    # The attacker also has an account, and with it a genuine step-up token of another session.
    attacker = log_in(target, register(target, "attacker"))

    def run() -> Breaches:
        # No step-up token, an invented one, the attacker's own one, and the access token.
        proofs = (None, "su_" + "A" * 43, attacker.step_up, stolen.access)
        responses = [
            target.send(method, path, body, token=stolen.access, step_up_token=proof)
            for proof in proofs
            for method, path, body in (
                ("POST", "/webauthn/register/begin", {}),
                ("DELETE", "/sessions?keep_current=true", None),
                ("DELETE", "/sessions", None),
            )
        ]
        results = {(response.status, (response.document or {}).get("code")) for response in responses}
        breaches = [f"unexpected response {status} {code}" for status, code in sorted(results - {_NO_STEP_UP}, key=str)]
        if victims_device.send("GET", "/sessions", token=own.access).status != HTTPStatus.OK:
            breaches.append("the victim's session was revoked")
        breaches += _defend(victims_device, victim)
        if target.send("GET", "/sessions", token=stolen.access).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the stolen access token was not revoked")
        return breaches

    return run


def _guess(attacker: Target, victim: User, stolen: Tokens, number: int) -> Response:
    """Guess the password at the password change or at the step-up, in turn. Return the response."""
    guess = f"guess number {number}"
    if number % 2:
        body = {"current_password": guess, "new_password": NEW_PASSWORD}
        return attacker.send("PUT", f"/users/{victim.id}/password", body, token=stolen.access)
    return attacker.send("POST", "/step-up", {"current_password": guess}, token=stolen.access)


def _defend(victims_device: Target, victim: User) -> Breaches:
    """Log in as the victim, revoke all other sessions and change the password. Return the steps that failed."""
    response = try_password(victims_device, victim.email, PASSWORD)
    if response.status != HTTPStatus.OK:
        return ["the victim cannot log in"]
    access, step_up = response.document["access_token"], response.document["step_up_token"]
    revoked = victims_device.send("DELETE", "/sessions?keep_current=true", token=access, step_up_token=step_up)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = victims_device.send("PUT", f"/users/{victim.id}/password", body, token=access)
    return [
        *(["the victim cannot revoke other sessions"] if revoked.status != HTTPStatus.NO_CONTENT else []),
        *(["the victim cannot change the password"] if changed.status != HTTPStatus.NO_CONTENT else []),
    ]

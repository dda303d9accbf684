"""Session theft: an attacker has the tokens of a victim's session, for example from a log or a compromised service."""

from http import HTTPStatus
from typing import Final

from tools.attacks.attack import Breaches, Run
from tools.attacks.people import NEW_PASSWORD, PASSWORD, Person, Tokens, log_in, register, try_password, try_refresh
from tools.attacks.target import Answer, Target

_GUESSES: Final = 40
#: Wrong proofs of identity that revoke a session.
_CEILING: Final = 5
_WRONG: Final = (HTTPStatus.BAD_REQUEST, "invalid_current_password")
_REVOKED: Final = (HTTPStatus.UNAUTHORIZED, "invalid_token")
_NO_STEP_UP: Final = (HTTPStatus.FORBIDDEN, "step_up_required")
#: The victim's client IP.
_HOME: Final = "203.0.113.2"


def guess_in_a_stolen_session(target: Target) -> Run:
    """Guess the password in a stolen session, from a new client IP each time, to lock the victim out or to take over.

    The account has no passkey. The attacker has the access token and the refresh token, and not the step-up token.
    """
    home = target.as_from(_HOME)
    victim = register(home, "victim")
    log_in(home, victim)
    stolen = log_in(home, victim)

    def run() -> Breaches:
        answers = [_guess(target.as_from(f"192.0.2.{number}"), victim, stolen, number) for number in range(_GUESSES)]
        words = [(answer.status, (answer.document or {}).get("code")) for answer in answers]
        breaches = [f"answered {status} {code}" for status, code in sorted(set(words) - {_WRONG, _REVOKED}, key=str)]
        if words.count(_WRONG) > _CEILING:
            breaches.append("nothing stopped the guessing")
        if try_refresh(target, stolen.refresh).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the stolen session outlived the guessing")
        return breaches + _defend(home, victim)

    return run


def use_a_stolen_access_token(target: Target) -> Run:
    """Use a stolen access token, seconds after the login, to add a passkey and to revoke the victim's sessions."""
    home = target.as_from(_HOME)
    victim = register(home, "victim")
    own = log_in(home, victim)
    stolen = log_in(home, victim)
    # The attacker has an account too, and with it a genuine step-up token of another session.
    attacker = log_in(target, register(target, "attacker"))

    def run() -> Breaches:
        # No step-up token, an invented one, the attacker's own, and the access token in its place.
        proofs = (None, "su_" + "A" * 43, attacker.step_up, stolen.access)
        answers = [
            target.send(method, path, body, token=stolen.access, step_up_token=proof)
            for proof in proofs
            for method, path, body in (
                ("POST", "/webauthn/register/begin", {}),
                ("DELETE", "/sessions?keep_current=true", None),
                ("DELETE", "/sessions", None),
            )
        ]
        words = {(answer.status, (answer.document or {}).get("code")) for answer in answers}
        breaches = [f"answered {status} {code}" for status, code in sorted(words - {_NO_STEP_UP}, key=str)]
        if home.send("GET", "/sessions", token=own.access).status != HTTPStatus.OK:
            breaches.append("the victim's session was revoked")
        breaches += _defend(home, victim)
        if target.send("GET", "/sessions", token=stolen.access).status != HTTPStatus.UNAUTHORIZED:
            breaches.append("the stolen token outlived the victim's defence")
        return breaches

    return run


def _guess(attacker: Target, victim: Person, stolen: Tokens, number: int) -> Answer:
    """Guess in turn at both places that check a password in a session."""
    guess = f"guess number {number}"
    if number % 2:
        body = {"current_password": guess, "new_password": NEW_PASSWORD}
        return attacker.send("PUT", f"/users/{victim.id}/password", body, token=stolen.access)
    return attacker.send("POST", "/step-up", {"current_password": guess}, token=stolen.access)


def _defend(home: Target, victim: Person) -> Breaches:
    """Let the victim log in, revoke all other sessions and change the password. Return what did not work."""
    answer = try_password(home, victim.email, PASSWORD)
    if answer.status != HTTPStatus.OK:
        return ["the victim cannot log in"]
    access, step_up = answer.document["access_token"], answer.document["step_up_token"]
    revoked = home.send("DELETE", "/sessions?keep_current=true", token=access, step_up_token=step_up)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = home.send("PUT", f"/users/{victim.id}/password", body, token=access)
    return [
        *(["the victim cannot revoke other sessions"] if revoked.status != HTTPStatus.NO_CONTENT else []),
        *(["the victim cannot change the password"] if changed.status != HTTPStatus.NO_CONTENT else []),
    ]

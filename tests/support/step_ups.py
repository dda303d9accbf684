"""Step-ups: requests that need a step-up token, wrong proofs, and proofs that are checked at the same time."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import select

from auth_common.database.tables import sessions
from tests.support.databases import Database
from tests.support.factories import Account, call_as, change_password, step_up
from tests.support.functions import Response
from tests.support.log_lines import LogLines
from tests.support.outages import failing_statements
from tests.support.passkeys import PasskeyHolder, call_webauthn
from tests.support.races import while_a_password_is_checked
from tests.support.throttles import WRONG_PASSWORD

#: The number of wrong proofs that revokes a session.
MAX_WRONG_PROOFS = 5


def request_passkey_registration(token: str, **options: Any) -> Response:
    """Begin to add a passkey, which requires a step-up for every account."""
    return call_webauthn(token, "POST", "/webauthn/register/begin", {}, **options)


def call_on_passkey(holder: PasskeyHolder, token: str, method: str, body: Any = None, **options: Any) -> Response:
    """Rename (PATCH) or delete (DELETE) the holder's passkey."""
    path_parameters = {"id": holder.passkey_id}
    path = f"/webauthn/credentials/{holder.passkey_id}"
    return call_webauthn(token, method, path, body, path_parameters=path_parameters, **options)


def revoke_other_sessions(token: str, **options: Any) -> Response:
    """Revoke the user's other sessions, for which a step-up with the password is enough."""
    return call_as(token, "sessions", "DELETE", "/sessions", query={"keep_current": "true"}, **options)


def guess_step_up(account: Account, number: int = 0) -> Response:
    """Step up with a wrong password, from one of 10 client IPs."""
    return step_up(account.access_token, {"current_password": WRONG_PASSWORD}, sourceIp=f"192.0.2.{number % 10}")


def guess_password_change(account: Account, number: int = 0) -> Response:
    """Change the password with a wrong current password, from one of 10 client IPs."""
    return change_password(account, current=WRONG_PASSWORD, sourceIp=f"192.0.2.{number % 10}")


def guess_either(account: Account, number: int = 0) -> Response:
    """Send a wrong password to POST /step-up if ``number`` is odd, otherwise to the change of the password."""
    return (guess_step_up if number % 2 else guess_password_change)(account, number)


def failed_proofs(database: Database) -> list[int]:
    """Return the number of wrong proofs of each session, in ascending order."""
    return sorted(row.failed_proofs or 0 for row in database.execute(select(sessions.c.failed_proofs)))


def events_named(log_lines: LogLines, *names: str) -> list[tuple[str, str | None]]:
    """Return name and reason of each security event with one of these names, in order."""
    return [(event["name"], event.get("reason")) for event in log_lines.security_events if event["name"] in names]


def send_during_password_check(
    monkeypatch: pytest.MonkeyPatch, requests: Sequence[Callable[[], Response]]
) -> list[Response]:
    """Send each request while the password of the previous one is checked. Return the responses, last request first."""
    first, *others = requests
    responses: list[Response] = []
    if others:
        while_a_password_is_checked(
            monkeypatch, lambda: responses.extend(send_during_password_check(monkeypatch, others))
        )
    response = first()
    return [*responses, response]


def crash_after_password_check(monkeypatch: pytest.MonkeyPatch, request: Callable[[], Response]) -> None:
    """Send ``request``, and make each of its SQL statements after the password check fail, as a crash would."""
    with ExitStack() as stack:
        while_a_password_is_checked(monkeypatch, lambda: stack.enter_context(failing_statements("")))
        assert request().status == 503

"""Calls whose round trips and statements are counted, and whose time the benchmarks measure.

Each call is a generator. It sets up its users first, and then yields one request after the other. What it does between
two requests is not measured. Close it at the end, because it may have changed the database's role.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from sqlalchemy import update

from auth_common.database.privileges import CLIENTS_ROLE, INTROSPECTION_ROLE
from auth_common.database.tables import users
from tests.support.clients import RESOURCE, basic, register_client
from tests.support.databases import Database, acting_as
from tests.support.events import form_event, json_event, proxy_event
from tests.support.factories import NEW_PASSWORD, PASSWORD, Account, refresh, registration, sign_up
from tests.support.functions import authorize, call, step_up_token_of
from tests.support.mail_links import end_mail_pause
from tests.support.passkeys import PasskeyHolder, begin_and_answer_registration, begin_login, enrol
from tests.support.throttles import WRONG_PASSWORD, guess_password
from tools.authenticator.software_authenticator import to_base64url

#: Limits that many calls from one client IP do not reach, and the service of a client that introspects.
SETTINGS: Final = {
    "THROTTLE_REGISTRATION_PER_SOURCE": "100000",
    "THROTTLE_LOGIN_PER_SOURCE": "100000",
    "THROTTLE_MAIL_PER_SOURCE": "100000",
    "THROTTLE_PASSKEY_PER_SOURCE": "100000",
    "TOKEN_RESOURCES": RESOURCE,
}
_NEUTRAL: Final = {"NEUTRAL_REGISTRATION": "true"}
_REQUIRED: Final = {"EMAIL_VERIFICATION": "required"}

_numbers = count()


@dataclass(frozen=True, slots=True)
class Request:
    """An event for one function, and the status of the response."""

    function: str
    event: dict[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """A call of the API in one situation."""

    requests: Callable[[Database], Generator[Request]]
    #: Settings besides ``SETTINGS``. The users are set up with them too.
    settings: Mapping[str, str] = field(default_factory=dict)


def _new_email() -> str:
    return f"user{next(_numbers)}@example.com"


def _new_account() -> Account:
    return sign_up(_new_email())


def _new_holder() -> PasskeyHolder:
    return enrol(_new_account())


def _caller(token: str) -> dict[str, str]:
    context: dict[str, str] = authorize(token)["context"]
    return context


def _get_user(_: Database) -> Generator[Request]:
    account = _new_account()
    path, caller = f"/users/{account.id}", _caller(account.access_token)
    while True:
        yield Request("get_user", proxy_event("GET", path, path_parameters={"id": account.id}, authorizer=caller))


def _log_in(email: str, password: str = PASSWORD, *, status: int = 200, **options: Any) -> Request:
    body = {"email": email, "password": password}
    return Request("login", json_event("POST", "/login", body, **options), status)


def _right_password(_: Database) -> Generator[Request]:
    account = _new_account()
    while True:
        yield _log_in(account.email)


def _new_client(database: Database) -> Generator[Request]:
    while True:
        account = _new_account()
        database.execute(update(users).values(email_verified_at=datetime.now(UTC)))
        yield _log_in(account.email, sourceIp="198.51.100.7", userAgent="curl/8.0")


def _replaced_session(_: Database) -> Generator[Request]:
    while True:
        account = _new_account()
        yield _log_in(account.email, headers={"Authorization": f"Bearer {account.access_token}"})


def _wrong_password(_: Database) -> Generator[Request]:
    while True:
        yield _log_in(_new_account().email, WRONG_PASSWORD, status=401)


def _unknown_address(_: Database) -> Generator[Request]:
    while True:
        yield _log_in(_new_email(), WRONG_PASSWORD, status=401)


def _locked_account(_: Database) -> Generator[Request]:
    email = _new_account().email
    while guess_password(email).status == HTTPStatus.UNAUTHORIZED:
        pass
    while True:
        yield _log_in(email, status=429)


def _first_factor(_: Database) -> Generator[Request]:
    holder = _new_holder()
    while True:
        yield _log_in(holder.account.email)


def _refresh(_: Database) -> Generator[Request]:
    while True:
        body = {"refresh_token": _new_account().refresh_token}
        yield Request("refresh", json_event("POST", "/token/refresh", body))


def _refresh_again(_: Database) -> Generator[Request]:
    while True:
        token = _new_account().refresh_token
        refresh(token)
        yield Request("refresh", json_event("POST", "/token/refresh", {"refresh_token": token}))


def _refresh_with_spent_token(_: Database) -> Generator[Request]:
    while True:
        token = _new_account().refresh_token
        refresh(refresh(token).json["refresh_token"])
        yield Request("refresh", json_event("POST", "/token/refresh", {"refresh_token": token}), 401)


def _refresh_with_unknown_token(_: Database) -> Generator[Request]:
    while True:
        yield Request("refresh", json_event("POST", "/token/refresh", {"refresh_token": "rt_unknown"}), 401)


def _revoke(_: Database) -> Generator[Request]:
    while True:
        yield Request("revoke", form_event("/revoke", {"token": _new_account().refresh_token}))


def _register(email: str, status: int) -> Request:
    return Request("register", json_event("POST", "/users", registration(email=email)), status)


def _new_address(_: Database) -> Generator[Request]:
    while True:
        yield _register(_new_email(), 201)


def _taken_address(_: Database) -> Generator[Request]:
    email = _new_account().email
    while True:
        yield _register(email, 409)


def _hidden_new_address(_: Database) -> Generator[Request]:
    while True:
        yield _register(_new_email(), 202)


def _hidden_taken_address(database: Database) -> Generator[Request]:
    email = _new_email()
    yield _register(email, 202)
    while True:
        end_mail_pause(database, "registration", email)
        yield _register(email, 202)


def _post_passkey(path: str, body: Mapping[str, Any], *, status: int = 200) -> Request:
    return Request("webauthn", json_event("POST", f"/webauthn/login/{path}", body), status)


def _completion(holder: PasskeyHolder, mfa_token: str | None = None) -> Request:
    ceremony, credential = holder.begin_and_answer_login(mfa_token)
    return _post_passkey("complete", {"challenge_id": ceremony["challenge_id"], "credential": credential})


def _rejected_completion(credential: Mapping[str, Any]) -> Request:
    """Return a completion with a response to another challenge."""
    body = {"challenge_id": begin_login()["challenge_id"], "credential": credential}
    return _post_passkey("complete", body, status=401)


def _wrong_response(_: Database) -> Generator[Request]:
    _ceremony, credential = _new_holder().begin_and_answer_login()
    while True:
        yield _rejected_completion(credential)


def _unknown_passkey(_: Database) -> Generator[Request]:
    _ceremony, credential = _new_holder().begin_and_answer_login()
    credential["id"] = credential["rawId"] = to_base64url(b"unknown")
    while True:
        yield _rejected_completion(credential)


def _begin_passkey(_: Database) -> Generator[Request]:
    while True:
        yield _post_passkey("begin", {})


def _complete_passkey(_: Database) -> Generator[Request]:
    holder = _new_holder()
    while True:
        yield _completion(holder)


def _begin_second_factor(_: Database) -> Generator[Request]:
    holder = _new_holder()
    while True:
        yield _post_passkey("begin", {"mfa_token": holder.get_mfa_token()})


def _complete_second_factor(_: Database) -> Generator[Request]:
    holder = _new_holder()
    while True:
        yield _completion(holder, holder.get_mfa_token())


def _reset(email: str) -> Request:
    return Request("reset_password", json_event("POST", "/password/reset", {"email": email}), 202)


def _reset_of_known_address(_: Database) -> Generator[Request]:
    while True:
        yield _reset(_new_account().email)


def _reset_of_unknown_address(_: Database) -> Generator[Request]:
    while True:
        yield _reset(_new_email())


def _client_token(_: Database) -> Generator[Request]:
    headers = {"Authorization": basic("orders", register_client("orders"))}
    with acting_as(CLIENTS_ROLE):
        while True:
            yield Request("token", form_event("/token", {"grant_type": "client_credentials"}, headers=headers))


def _introspect(_: Database) -> Generator[Request]:
    secret = register_client("orders", audience=RESOURCE, may_introspect=True)
    headers = {"Authorization": basic("orders", secret)}
    body = {"refresh_token": _new_account().refresh_token, "resource": RESOURCE}
    token = call("refresh", json_event("POST", "/token/refresh", body)).json["access_token"]
    with acting_as(INTROSPECTION_ROLE):
        while True:
            yield Request("introspect", form_event("/introspect", {"token": token}, headers=headers))


def _log_out(_: Database) -> Generator[Request]:
    while True:
        caller = _caller(_new_account().access_token)
        yield Request("sessions", proxy_event("POST", "/logout", authorizer=caller), 204)


def _log_out_elsewhere(_: Database) -> Generator[Request]:
    while True:
        account = _new_account()
        step_up, caller = step_up_token_of(account.access_token), _caller(account.access_token)
        assert step_up, "a login proves who the user is"
        headers = {"Step-Up-Token": step_up}
        yield Request("sessions", proxy_event("DELETE", "/sessions", authorizer=caller, headers=headers), 204)


def _change_password(_: Database) -> Generator[Request]:
    while True:
        account = _new_account()
        path, body = f"/users/{account.id}/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        caller = _caller(account.access_token)
        event = json_event("PUT", path, body, path_parameters={"id": account.id}, authorizer=caller)
        yield Request("change_password", event, 204)


def _step_up(token: str, body: Mapping[str, Any]) -> Request:
    return Request("step_up", json_event("POST", "/step-up", body, authorizer=_caller(token)))


def _step_up_with_password(_: Database) -> Generator[Request]:
    token = _new_account().access_token
    while True:
        yield _step_up(token, {"current_password": PASSWORD})


def _step_up_begin(_: Database) -> Generator[Request]:
    token = _new_holder().account.access_token
    while True:
        yield _step_up(token, {})


def _step_up_with_passkey(_: Database) -> Generator[Request]:
    holder = _new_holder()
    token = holder.account.access_token
    while True:
        yield _step_up(token, holder.begin_and_answer_step_up(token))


def _register_passkey(token: str, path: str, body: Mapping[str, Any], status: int) -> Request:
    headers = {"Step-Up-Token": step_up_token_of(token)}
    path = f"/webauthn/register/{path}"
    return Request("webauthn", json_event("POST", path, body, authorizer=_caller(token), headers=headers), status)


def _begin_registration(_: Database) -> Generator[Request]:
    token = _new_account().access_token
    while True:
        yield _register_passkey(token, "begin", {}, 200)


def _complete_registration(_: Database) -> Generator[Request]:
    while True:
        token = _new_account().access_token
        ceremony, credential = begin_and_answer_registration(token)
        body = {"challenge_id": ceremony["challenge_id"], "credential": credential}
        yield _register_passkey(token, "complete", body, 201)


#: Each call by its name.
MEASURED_CALLS: Final[Mapping[str, MeasuredCall]] = {
    "GET /users/{id}": MeasuredCall(_get_user),
    "POST /login, right password": MeasuredCall(_right_password),
    "POST /login, wrong password": MeasuredCall(_wrong_password),
    "POST /login, unknown address": MeasuredCall(_unknown_address),
    "POST /login, notice of a new client": MeasuredCall(_new_client),
    "POST /login, during a lockout": MeasuredCall(_locked_account),
    "POST /login, replaced session": MeasuredCall(_replaced_session),
    "POST /login, passkey must follow": MeasuredCall(_first_factor),
    "POST /token/refresh": MeasuredCall(_refresh),
    "POST /token/refresh, lost response": MeasuredCall(_refresh_again),
    "POST /token/refresh, spent token": MeasuredCall(_refresh_with_spent_token),
    "POST /token/refresh, unknown token": MeasuredCall(_refresh_with_unknown_token),
    "POST /users, new address": MeasuredCall(_new_address),
    "POST /users, taken address": MeasuredCall(_taken_address),
    "POST /users, new address, neutral": MeasuredCall(_hidden_new_address, _NEUTRAL),
    "POST /users, taken address, neutral": MeasuredCall(_hidden_taken_address, _NEUTRAL),
    "POST /users, new address, verification required": MeasuredCall(_hidden_new_address, _REQUIRED),
    "POST /users, taken address, verification required": MeasuredCall(_hidden_taken_address, _REQUIRED),
    "POST /webauthn/login/begin, alone": MeasuredCall(_begin_passkey),
    "POST /webauthn/login/complete, alone": MeasuredCall(_complete_passkey),
    "POST /webauthn/login/begin, second factor": MeasuredCall(_begin_second_factor),
    "POST /webauthn/login/complete, second factor": MeasuredCall(_complete_second_factor),
    "POST /webauthn/login/complete, wrong response": MeasuredCall(_wrong_response),
    "POST /webauthn/login/complete, unknown passkey": MeasuredCall(_unknown_passkey),
    "POST /webauthn/register/begin": MeasuredCall(_begin_registration),
    "POST /webauthn/register/complete": MeasuredCall(_complete_registration),
    "POST /password/reset, known address": MeasuredCall(_reset_of_known_address),
    "POST /password/reset, unknown address": MeasuredCall(_reset_of_unknown_address),
    "POST /token": MeasuredCall(_client_token),
    "POST /introspect": MeasuredCall(_introspect),
    "POST /revoke": MeasuredCall(_revoke),
    "POST /logout": MeasuredCall(_log_out),
    "DELETE /sessions": MeasuredCall(_log_out_elsewhere),
    "PUT /users/{id}/password": MeasuredCall(_change_password),
    "POST /step-up, password": MeasuredCall(_step_up_with_password),
    "POST /step-up, begin with a passkey": MeasuredCall(_step_up_begin),
    "POST /step-up, complete with a passkey": MeasuredCall(_step_up_with_passkey),
}

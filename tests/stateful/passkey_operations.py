"""Operations with passkeys: their registration and deletion, logins and step-ups. See ``operations``.

Each runs the whole ceremony. The passkeys are synced: their counter stays 0.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.stateful.environments import Job
from tests.stateful.model import AccessToken, Model, Passkey, Session, StepUpToken
from tests.stateful.operations import (
    CountedProof,
    Expected,
    LogIn,
    Stage,
    call_as,
    new_step_up,
    open_session,
    revoke,
    revoke_others,
    run_command,
    session_pair,
    step_up_granted,
    step_up_header,
    step_up_rejection,
    token_rejection,
)
from tests.support.events import json_event
from tests.support.factories import log_in
from tests.support.functions import Response, call
from tools.authenticator.software_authenticator import (
    Credential,
    SoftwareAuthenticator,
    from_base64url,
    to_base64url,
)

_ORIGIN = "http://localhost:8000"

# --- Passkeys of the caller -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddPasskey:
    """POST /webauthn/register/begin and /complete."""

    token: AccessToken
    step_up: StepUpToken | None = None

    def job(self) -> Job:
        return partial(_add_passkey, self.token.text, step_up_header(self.step_up))

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        account = session.account
        rejection = token_rejection(model, self.token) or step_up_rejection(
            model, self.token, self.step_up, needs_passkey=model.has_passkey(account)
        )
        if rejection:
            return rejection
        passkey = Passkey(account, len(model.passkeys), model.now)
        others = revoke_others(model, session)

        def add() -> None:
            model.passkeys.append(passkey)
            model.add_notice("passkey_added", account)
            _change_passkeys(model, session, others.sessions)

        def learn(response: Response) -> None:
            passkey.credential = response.json["credential"]

        return Expected(201, [Stage(add, ["authn_passkey_added", *others.records])], learn=learn)


@dataclass(frozen=True)
class RemovePasskey:
    """DELETE /webauthn/credentials/{id}."""

    token: AccessToken
    passkey: Passkey
    step_up: StepUpToken | None = None

    def job(self) -> Job:
        passkey_id = str(self.passkey.id)
        path, headers = f"/webauthn/credentials/{passkey_id}", step_up_header(self.step_up)
        return partial(call_as, self.token.text, "webauthn", "DELETE", path, {"id": passkey_id}, headers=headers)

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        account = session.account
        rejection = token_rejection(model, self.token) or step_up_rejection(
            model, self.token, self.step_up, needs_passkey=model.has_passkey(account)
        )
        if rejection:
            return rejection
        if self.passkey not in model.passkeys_of(account):
            return Expected(404, code="not_found")
        others = revoke_others(model, session)

        def remove() -> None:
            self.passkey.is_deleted = True
            model.add_notice("passkey_removed", account)
            _change_passkeys(model, session, others.sessions)

        return Expected(204, [Stage(remove, ["authn_passkey_removed", *others.records])])


def _change_passkeys(model: Model, session: Session, others: list[Session]) -> None:
    """End what a change of the passkeys ends: other sessions, the step-up, and links that change the address."""
    session.step_up = None
    model.delete_mail_tokens(session.account, lambda token: token.purpose == "change_email")
    revoke(others)


@dataclass(frozen=True)
class StepUpWithPasskey:
    """POST /step-up with a passkey, of any account. The caller's account must have a passkey."""

    token: AccessToken
    passkey: Passkey

    def job(self) -> Job:
        assert self.passkey.credential, "no user has this passkey"
        return partial(_step_up, self.token.text, self.passkey.credential)

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        proof = CountedProof(session, model.now)
        rejection = token_rejection(model, self.token) or proof.rejection
        if rejection:
            return rejection
        if self.passkey not in model.passkeys_of(session.account):
            return proof.failure("authn_step_up_fail", code="step_up_failed")
        return step_up_granted(model, session, proof, by_passkey=True)


# --- Login ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogInWithPasskey:
    """POST /webauthn/login/begin and /complete, after POST /login if there is a password."""

    passkey: Passkey
    password: str | None = None

    def job(self) -> Job:
        assert self.passkey.credential, "no user has this passkey"
        email = self.passkey.account.email
        return partial(_log_in_with_passkey, self.passkey.credential, email, self.password)

    def expect(self, model: Model) -> Expected:
        account, before = self.passkey.account, list[Stage]()
        if self.password is not None:
            first_factor = LogIn(account.email, self.password).expect(model)
            if first_factor.status != 200 or not model.has_passkey(account):
                return first_factor
            before = list(first_factor.stages)
        counters = model.passkey_counters(None if self.password is None else account)

        def count() -> None:
            for counter in counters:
                counter.count(model.now)

        def succeed() -> None:
            for counter in counters:
                counter.succeed()

        counted = [*before, Stage(count)]
        if self.passkey.is_deleted or account.status != "active":
            return Expected(401, [*counted, Stage(records=["authn_login_fail"])], "passkey_login_failed")
        methods = [*(["pwd"] if self.password is not None else []), "swk", "user", "mfa"]
        session = Session(len(model.sessions), account, model.now, account.token_version, methods)
        step_up = new_step_up(model, session, by_passkey=True)
        opened = open_session(model, session, step_up, succeed)
        return session_pair(model, session, [*counted, opened], step_up=step_up)

    def failure(self, model: Model) -> Expected:
        """Return what is expected if the account changed after the passkey was checked, which was used alone."""
        (counter,) = model.passkey_counters(None)
        records = Stage(records=["authn_login_fail"])
        return Expected(401, [Stage(partial(counter.count, model.now)), records], "passkey_login_failed")


# --- Operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RemovePasskeysByOperator:
    """``uv run accounts remove-passkeys``."""

    email: str

    def job(self) -> Job:
        return partial(run_command, "remove-passkeys", self.email)

    def expect(self, model: Model) -> Expected:
        account = model.accounts.get(self.email)
        removed = model.passkeys_of(account) if account else []
        if account is None or not removed:
            return Expected(503)

        def remove() -> None:
            for passkey in removed:
                passkey.is_deleted = True
            account.token_version += 1
            model.add_notice("passkey_removed", account)

        return Expected(200, [Stage(remove, ["authn_passkey_removed"])])


# --- In the environment -----------------------------------------------------------------------------------------------


def _add_passkey(access_token: str, headers: Mapping[str, str]) -> Response:
    """Run a registration. A success is returned with the new credential, for which the client keeps the key."""

    def post(path: str, body: Any) -> Response:
        return call_as(access_token, "webauthn", "POST", path, body=json.dumps(body).encode(), headers=headers)

    begun = post("/webauthn/register/begin", {})
    if begun.status != 200:
        return begun
    device = _device()
    credential = device.register(begun.json["options"])
    body = {"challenge_id": begun.json["challenge_id"], "credential": credential}
    completed = post("/webauthn/register/complete", body)
    if completed.status != 201:
        return completed
    return Response(201, completed.headers, json.dumps({"credential": _export(device.credentials[0])}))


def _step_up(access_token: str, credential: Mapping[str, str]) -> Response:
    def post(body: Any) -> Response:
        return call_as(access_token, "step_up", "POST", "/step-up", body=json.dumps(body).encode())

    begun = post({})
    if begun.status != 200:
        return begun
    return post({"challenge_id": begun.json["challenge_id"], "credential": _sign(credential, begun.json["options"])})


def _log_in_with_passkey(credential: Mapping[str, str], email: str, password: str | None) -> Response:
    first: dict[str, str] = {}
    if password is not None:
        response = log_in(email, password)
        if response.status != 200 or "mfa_token" not in response.json:
            return response
        first = {"mfa_token": response.json["mfa_token"]}
    begun = call("webauthn", json_event("POST", "/webauthn/login/begin", first))
    if begun.status != 200:
        return begun
    body = {"challenge_id": begun.json["challenge_id"], "credential": _sign(credential, begun.json["options"])}
    return call("webauthn", json_event("POST", "/webauthn/login/complete", body))


def _sign(exported: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Sign a challenge with a credential, also if the service does not expect it any more."""
    device = _device()
    device.credentials.append(_import(exported, rp_id=options["rpId"]))
    allowed = [{"id": exported["id"]}] if options.get("allowCredentials") else []
    return device.authenticate({**options, "allowCredentials": allowed})


def _device() -> SoftwareAuthenticator:
    return SoftwareAuthenticator(origin=_ORIGIN, backup_eligible=True, backed_up=True, counts=False)


def _export(credential: Credential) -> dict[str, str]:
    """Return a credential as text, because a private key cannot be copied to another process."""
    key = credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle = to_base64url(credential.user_handle)
    return {"id": to_base64url(credential.id), "user_handle": handle, "key": key.decode()}


def _import(exported: Mapping[str, str], *, rp_id: str) -> Credential:
    key: Any = load_pem_private_key(exported["key"].encode(), password=None)
    handle = from_base64url(exported["user_handle"])
    return Credential(id=from_base64url(exported["id"]), rp_id=rp_id, user_handle=handle, key=key)

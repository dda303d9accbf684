"""Operations of services: registration as clients, credentials, tokens of their own, and introspection."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.stateful.environments import Job
from tests.stateful.model import (
    CLOCK_LEEWAY_SECONDS,
    AccessToken,
    Assertion,
    Credential,
    Model,
    ServiceClient,
    ServiceToken,
)
from tests.stateful.operations import Expected, Stage, too_many_attempts
from tests.support.clients import NAME, RESOURCE, assertion, basic, ec_key, public_pem, send_form, with_assertion
from tests.support.functions import Response
from tools.operators import clients

#: How long an assertion is valid. Longer than the model's short waits, so that it can be replayed later too.
ASSERTION_SECONDS = 60

# --- Commands of operators --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddClient:
    """``uv run clients add``, for a service that requests tokens for itself and may introspect them."""

    #: The key of its assertions. None: it gets a secret.
    key: int | None = None

    def job(self) -> Job:
        return partial(
            run_command, "add", NAME, "--resource", RESOURCE, "--audience", RESOURCE, "--introspect", key=self.key
        )

    def expect(self, model: Model) -> Expected:
        if model.client:
            return Expected(503)
        credential = Credential(self.key)

        def add() -> None:
            model.client = ServiceClient(model.now, [credential])

        return Expected(200, [Stage(add, ["client_created"])], learn=partial(_receive_secret, model, credential))


@dataclass(frozen=True)
class RotateCredential:
    """``uv run clients rotate``: one more credential, or with ``--now`` one instead of all before."""

    key: int | None = None
    ends_old_now: bool = False

    def job(self) -> Job:
        return partial(run_command, "rotate", NAME, *(["--now"] if self.ends_old_now else []), key=self.key)

    def expect(self, model: Model) -> Expected:
        client, credential = model.client, Credential(self.key)
        if client is None or (self.key is not None and self.key in {each.key for each in client.credentials}):
            return Expected(503)
        is_other_method = (self.key is None) != (client.credentials[0].key is None)
        if not self.ends_old_now and (is_other_method or len(client.credentials) > 1):
            return Expected(503)

        def rotate() -> None:
            client.credentials = [credential, *([] if self.ends_old_now else client.credentials)]

        stage = Stage(rotate, ["client_credential_changed"])
        return Expected(200, [stage], learn=partial(_receive_secret, model, credential))


@dataclass(frozen=True)
class EndOldCredential:
    """``uv run clients rotate --finish``."""

    def job(self) -> Job:
        return partial(run_command, "rotate", NAME, "--finish")

    def expect(self, model: Model) -> Expected:
        client = model.client
        if client is None or len(client.credentials) == 1:
            return Expected(503)

        def end() -> None:
            client.credentials.pop()

        return Expected(200, [Stage(end, ["client_credential_changed"])])


@dataclass(frozen=True)
class RemoveClient:
    """``uv run clients remove``."""

    def job(self) -> Job:
        return partial(run_command, "remove", NAME)

    def expect(self, model: Model) -> Expected:
        if model.client is None:
            return Expected(503)

        def remove() -> None:
            model.client = None

        return Expected(200, [Stage(remove, ["client_deleted"])])


def _receive_secret(model: Model, credential: Credential, response: Response) -> None:
    credential.secret = response.json.get("client_secret")
    model.credentials.append(credential)


# --- Requests of services ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestToken:
    """POST /token, with a secret or with an assertion."""

    presented: Credential | Assertion

    def job(self) -> Job:
        return partial(_send, "token", {"grant_type": "client_credentials"}, self.presented)

    def expect(self, model: Model) -> Expected:
        if rejection := client_rejection(model, self.presented):
            return rejection
        issued_at = model.now

        def receive(response: Response) -> None:
            model.service_tokens.append(ServiceToken(issued_at, response.json["access_token"]))

        stages = [*_use(model, self.presented), Stage(records=["authn_client_token_created"])]
        return Expected(200, stages, token="access_token", learn=receive)


@dataclass(frozen=True)
class Introspect:
    """POST /introspect, about a token of a user or of a service. It is no use of the token, so no table changes."""

    token: AccessToken | ServiceToken
    presented: Credential | Assertion

    def job(self) -> Job:
        return partial(_send, "introspect", {"token": self.token.text}, self.presented)

    def expect(self, model: Model) -> Expected:
        if rejection := client_rejection(model, self.presented):
            return rejection
        is_active = self.token.is_valid(model.now)
        if isinstance(self.token, ServiceToken):
            # A client that was removed and registered again is another one.
            assert model.client
            is_active &= model.client.registered_at <= self.token.issued_at + CLOCK_LEEWAY_SECONDS

        def compare(response: Response) -> None:
            assert response.json["active"] is is_active, f"{self.token} is active: {not is_active}"

        stages = [*_use(model, self.presented), *([] if is_active else _inactive(model))]
        return Expected(200, stages, learn=compare, is_hidden_rejection=not is_active)


def _inactive(model: Model) -> Sequence[Stage]:
    """Return the transactions of an introspection of an inactive token. In a lockout, no further record is written."""
    counter = model.introspection_counter(NAME)
    if counter.is_locked(model.now):
        return too_many_attempts(counter).stages
    return [Stage(partial(counter.count, model.now)), Stage(records=["authn_token_rejected"])]


def client_rejection(model: Model, presented: Credential | Assertion) -> Expected | None:
    """Return what is expected if the authentication of a client fails. Return None if it succeeds."""
    credential = presented.credential if isinstance(presented, Assertion) else presented
    is_valid = model.client is not None and credential in model.client.credentials
    if is_valid and not (isinstance(presented, Assertion) and presented.is_rejected(model.now)):
        return None
    counters = model.client_counters(NAME)
    locked = next((counter for counter in counters if counter.is_locked(model.now)), None)
    if locked:
        return replace(too_many_attempts(locked), code="temporarily_unavailable")

    def count() -> None:
        for counter in counters:
            counter.count(model.now)

    return Expected(401, [Stage(count), Stage(records=["authn_client_fail"])], "invalid_client")


def _use(model: Model, presented: Credential | Assertion) -> list[Stage]:
    """Return the transaction that makes a replay of an assertion fail. A secret has none."""
    if isinstance(presented, Credential):
        return []

    def use() -> None:
        presented.is_used = True
        model.assertions.append(presented)

    return [Stage(use)]


# --- In the environment -----------------------------------------------------------------------------------------------


def run_command(*arguments: str, key: int | None = None) -> Response:
    """Run ``clients``. Return its result as a response: 200, or 503 if it was rejected or may be retried."""
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()) as output:
        options = ["--json"]
        if key is not None:
            file = Path(folder, "public.pem")
            file.write_text(public_pem(ec_key(key)))
            options += ["--public-key", str(file)]
        status = clients.main([*arguments, *options])
    return Response(503 if status else 200, {}, output.getvalue() or "null")


def _send(function: str, parameters: dict[str, str], presented: Credential | Assertion) -> Response:
    path = f"/{function}"
    if isinstance(presented, Credential):
        assert presented.secret, "no service has this secret"
        return send_form(function, path, parameters, authorization=basic(NAME, presented.secret))
    key = presented.credential.key
    assert key is not None
    signed = assertion(ec_key(key), exp=int(presented.expires_at), jti=presented.number)
    return send_form(function, path, parameters | with_assertion(signed))

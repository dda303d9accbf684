"""Operations of the service: for each one the request, and what the model expects of it.

A request consists of transactions. If its environment crashes, some of the first are committed, and the others are not.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tests.stateful.environments import Job
from tests.stateful.model import (
    GRACE_PERIOD_SECONDS,
    MAX_WRONG_PROOFS,
    NEW_LOGIN_NOTICE_PAUSE_SECONDS,
    PENDING_PROOF_SECONDS,
    STEP_UP_TOKEN_SECONDS,
    AccessToken,
    Account,
    AttemptCounter,
    Model,
    RefreshToken,
    Session,
    StepUpToken,
)
from tests.support.events import SOURCE_IP, json_event, proxy_event
from tests.support.factories import log_in, register
from tests.support.factories import revoke as revoke_refresh_token
from tests.support.functions import Response, authorize, call
from tools.operators import accounts


@dataclass(frozen=True)
class Stage:
    """One transaction: its change, and the names of the audit records that commit with it."""

    change: Callable[[], None] | None = None
    records: Sequence[str] = ()
    #: Whether the records may be stored although the transaction fails, because they are about a rejected attempt.
    is_rejection: bool = False

    def apply(self) -> None:
        """Apply the change to the model."""
        if self.change:
            self.change()


@dataclass(frozen=True)
class Expected:
    """The expected response, the transactions before it, and how the model learns from it."""

    status: int
    stages: Sequence[Stage] = ()
    code: str | None = None
    #: A token that the response contains.
    token: str | None = None
    #: Claims of the access token in the response.
    claims: Mapping[str, Any] = field(default_factory=dict)
    learn: Callable[[Response], None] = lambda _response: None
    #: Whether a success hides a rejection, whose count and record a fault may prevent.
    is_hidden_rejection: bool = False


class RejectableLogIn(Protocol):
    """A login that is rejected if the account changes meanwhile."""

    def job(self) -> Job:
        """Return the job for an environment."""

    def failure(self, model: Model) -> Expected:
        """Return what is expected then."""


class Operation(Protocol):
    """A request, or an operator's command."""

    def job(self) -> Job:
        """Return the job for an environment."""

    def expect(self, model: Model) -> Expected:
        """Return what the model expects. The model changes when the stages are applied."""


def create_account(model: Model, email: str, password: str) -> Account:
    """Add an account to the model. What was counted for its address before does not affect it."""
    account = model.accounts[email] = Account(email, password, model.now, known_client_since=model.now)
    model.reset_counters_of_new_address(email)
    return account


# --- Anyone -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    """POST /users."""

    email: str
    password: str

    def job(self) -> Job:
        return partial(register, email=self.email, password=self.password)

    def expect(self, model: Model) -> Expected:
        mail = model.mail_request_counter(SOURCE_IP)
        counted = [Stage(partial(each.count, model.now)) for each in (model.registration_counter(), mail)]
        if model.is_taken(self.email):
            rejected = Stage(records=["user_creation_fail"])
            return Expected(409, [*counted, rejected, Stage(mail.succeed)], "email_taken")
        return Expected(201, [*counted, Stage(partial(self._create, model), ["user_created"])])

    def _create(self, model: Model) -> None:
        account = create_account(model, self.email, self.password)
        model.add_mail_token("verify_email", self.email, account)


@dataclass(frozen=True)
class LogIn:
    """POST /login."""

    email: str
    password: str
    #: The access token that the request carries, of any user.
    token: AccessToken | None = None

    def job(self) -> Job:
        headers = {"Authorization": f"Bearer {self.token.text}"} if self.token else {}
        return partial(log_in, self.email, self.password, headers=headers)

    def expect(self, model: Model) -> Expected:
        attempt = PasswordAttempt(model, self.email)
        if attempt.rejection:
            return attempt.rejection
        account = model.accounts.get(self.email)
        if account is None or not account.accepts(self.password) or account.status != "active":
            return self.failure(model)
        if model.has_passkey(account):
            first_factor = Stage(attempt.succeed, ["authn_login_first_factor"])
            return Expected(200, [attempt.counted, first_factor], token="mfa_token")
        session = Session(len(model.sessions), account, model.now, account.token_version)
        step_up = new_step_up(model, session)
        replaced = [self.token.session] if self.token and self.token.is_accepted(model.now) else []
        opened = open_session(model, session, step_up, attempt.succeed, replaced)
        return session_pair(model, session, [attempt.counted, opened], step_up=step_up)

    def failure(self, model: Model) -> Expected:
        """Return what is expected if the password is wrong, or if the account changed while the password was hashed."""
        return PasswordAttempt(model, self.email).failure(401, "invalid_credentials", "authn_login_fail")


@dataclass(frozen=True)
class Refresh:
    """POST /token/refresh."""

    token: RefreshToken
    #: The other service that the new access token is for. None: this service.
    resource: str | None = None

    def job(self) -> Job:
        assert self.token.text, "no client has this token"
        return partial(_refresh, self.token.text, self.resource)

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        if rejection := _refresh_token_rejection(model, self.token):
            stages, is_locked = rejection
            if is_locked:
                return Expected(429, stages, "too_many_attempts")
            return Expected(401, stages, "invalid_refresh_token")
        change = None if self.token.spent_at else partial(session.add_generation, model.now)
        stages = [Stage(change, ["authn_token_created"])]
        return session_pair(model, session, stages, resource=self.resource)


@dataclass(frozen=True)
class RevokeRefreshToken:
    """POST /revoke. The response does not show whether the token is valid."""

    token: RefreshToken

    def job(self) -> Job:
        assert self.token.text, "no client has this token"
        return partial(revoke_refresh_token, self.token.text)

    def expect(self, model: Model) -> Expected:
        if rejection := _refresh_token_rejection(model, self.token):
            stages, is_locked = rejection
            return Expected(429 if is_locked else 200, stages, is_hidden_rejection=True)
        return Expected(200, [Stage(partial(revoke, [self.token.session]), ["authn_token_revoked"])])


def _refresh_token_rejection(model: Model, token: RefreshToken) -> tuple[Sequence[Stage], bool] | None:
    """Return the transactions of a rejected refresh token, and whether its client IP is locked.

    Return None if the token is valid. A spent token is valid for a moment. After that it revokes its session.
    """
    now, session = model.now, token.session
    before, record = list[Stage](), [Stage(records=["authn_token_rejected"])]
    if session.is_live(now) and now < token.expires_at:
        if token.spent_at is None:
            return None
        if token is session.refresh_tokens[-2] and now - token.spent_at <= GRACE_PERIOD_SECONDS:
            return None
        before, record = [Stage(partial(revoke, [session]), ["authn_token_reuse"], is_rejection=True)], []
    counter = model.refresh_counter()
    if counter.is_locked(now):
        # A rejection is recorded if it is counted, so not during a lockout.
        return too_many_attempts(counter, before).stages, True
    return [*before, Stage(partial(counter.count, now)), *record], False


@dataclass(frozen=True)
class OvertakenLogIn:
    """A login that is rejected because the account changed after the password or the passkey was checked."""

    login: RejectableLogIn

    def job(self) -> Job:
        return self.login.job()

    def expect(self, model: Model) -> Expected:
        return self.login.failure(model)


# --- Users ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadProfile:
    """GET /users/{id}."""

    token: AccessToken

    def job(self) -> Job:
        user_id = str(self.token.session.account.id)
        return partial(call_as, self.token.text, "get_user", "GET", f"/users/{user_id}", {"id": user_id})

    def expect(self, model: Model) -> Expected:
        return token_rejection(model, self.token) or Expected(200)


@dataclass(frozen=True)
class ListSessions:
    """GET /sessions."""

    token: AccessToken

    def job(self) -> Job:
        return partial(call_as, self.token.text, "sessions", "GET", "/sessions")

    def expect(self, model: Model) -> Expected:
        return token_rejection(model, self.token) or Expected(200, learn=partial(self._compare, model))

    def _compare(self, model: Model, response: Response) -> None:
        """Compare the list with the sessions whose newest refresh token is valid."""
        items = response.json["items"]
        own = model.sessions_of(self.token.session.account)
        valid = {
            str(session.id)
            for session in own
            if session.is_live(model.now) and model.now < session.refresh_tokens[-1].expires_at
        }
        assert {item["id"] for item in items} == valid
        assert [item["id"] for item in items if item["current"]] == [str(self.token.session.id)]


@dataclass(frozen=True)
class LogOut:
    """POST /logout."""

    token: AccessToken

    def job(self) -> Job:
        return partial(call_as, self.token.text, "sessions", "POST", "/logout")

    def expect(self, model: Model) -> Expected:
        return token_rejection(model, self.token) or _revocation([self.token.session])


@dataclass(frozen=True)
class RevokeSession:
    """DELETE /sessions/{id}."""

    token: AccessToken
    target: Session
    step_up: StepUpToken | None = None

    def job(self) -> Job:
        target, headers = str(self.target.id), step_up_header(self.step_up)
        path = f"/sessions/{target}"
        return partial(call_as, self.token.text, "sessions", "DELETE", path, {"id": target}, headers=headers)

    def expect(self, model: Model) -> Expected:
        is_own = self.target is self.token.session
        rejection = token_rejection(model, self.token)
        if not is_own:
            rejection = rejection or step_up_rejection(model, self.token, self.step_up)
        if rejection:
            return rejection
        is_live_or_expired = not self.target.is_revoked and not self.target.is_deleted
        if self.target.account is not self.token.session.account or not is_live_or_expired:
            return Expected(404, code="not_found")
        return _revocation([self.target])


@dataclass(frozen=True)
class RevokeSessions:
    """DELETE /sessions."""

    token: AccessToken
    step_up: StepUpToken | None = None
    keep_current: bool = False

    def job(self) -> Job:
        query, headers = {"keep_current": str(self.keep_current).lower()}, step_up_header(self.step_up)
        return partial(call_as, self.token.text, "sessions", "DELETE", "/sessions", query=query, headers=headers)

    def expect(self, model: Model) -> Expected:
        current = self.token.session
        others = _unrevoked(model, current.account, keep=current if self.keep_current else None)
        rejection = token_rejection(model, self.token) or step_up_rejection(model, self.token, self.step_up)
        return rejection or _revocation(others)


@dataclass(frozen=True)
class StepUp:
    """POST /step-up with a password."""

    token: AccessToken
    password: str

    def job(self) -> Job:
        body = json.dumps({"current_password": self.password}).encode()
        return partial(call_as, self.token.text, "step_up", "POST", "/step-up", body=body)

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        proof = CountedProof(session, model.now)
        rejection = token_rejection(model, self.token) or proof.rejection
        if rejection:
            return rejection
        if not session.account.accepts(self.password):
            return proof.failure("authn_step_up_fail")
        return step_up_granted(model, session, proof)


@dataclass(frozen=True)
class ChangePassword:
    """PUT /users/{id}/password."""

    token: AccessToken
    current: str
    new: str
    #: Only an account with a passkey needs it.
    step_up: StepUpToken | None = None

    def job(self) -> Job:
        user_id, headers = str(self.token.session.account.id), step_up_header(self.step_up)
        body = json.dumps({"current_password": self.current, "new_password": self.new}).encode()
        path = f"/users/{user_id}/password"
        return partial(
            call_as, self.token.text, "change_password", "PUT", path, {"id": user_id}, body=body, headers=headers
        )

    def expect(self, model: Model) -> Expected:
        session = self.token.session
        account = session.account
        proof = CountedProof(session, model.now)
        rejection = token_rejection(model, self.token)
        if model.has_passkey(account):
            rejection = rejection or step_up_rejection(model, self.token, self.step_up, needs_passkey=True)
        rejection = rejection or proof.rejection
        if rejection:
            return rejection
        if not account.accepts(self.current):
            return proof.failure("authn_password_change_fail")
        others = revoke_others(model, session)

        def replace() -> None:
            account.password = self.new
            account.token_version += 1
            session.token_version = account.token_version
            session.step_up = None
            proof.succeed()
            revoke(others.sessions)
            model.add_notice("password_changed", account)

        return Expected(204, [proof.counted, Stage(replace, ["authn_password_change", *others.records])])


# --- Operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command of ``uv run accounts`` that revokes all sessions of the user."""

    account: Account
    record: str
    arguments: tuple[str, ...]
    changes: Mapping[str, str] = field(default_factory=dict)

    def job(self) -> Job:
        return partial(run_command, *self.arguments)

    def expect(self, model: Model) -> Expected:
        if model.accounts.get(self.arguments[1]) is not self.account:
            return Expected(503)  # The account has another address by now.
        return Expected(200, [Stage(self._change, [self.record])])

    def _change(self) -> None:
        self.account.token_version += 1
        for name, value in self.changes.items():
            setattr(self.account, name, value)


def disable(account: Account) -> Command:
    return Command(account, "user_disabled", ("disable", account.email), {"status": "disabled"})


def enable(account: Account) -> Command:
    return Command(account, "user_enabled", ("enable", account.email), {"status": "active"})


def revoke_sessions(account: Account) -> Command:
    return Command(account, "authn_token_revoked", ("end-sessions", account.email))


def give_role(account: Account, role: str) -> Command:
    return Command(account, "authz_change", ("role", account.email, role), {"role": role})


# --- Shared by requests -----------------------------------------------------------------------------------------------


class PasswordAttempt:
    """A password of a login. It is counted before it is checked."""

    def __init__(self, model: Model, email: str) -> None:
        self._now = model.now
        self._counters = model.login_counters(email)
        self.counted = Stage(self._count)

    @property
    def rejection(self) -> Expected | None:
        """What is expected if one of the counters is locked, otherwise None."""
        locked = next((counter for counter in self._counters if counter.is_locked(self._now)), None)
        return too_many_attempts(locked) if locked else None

    def failure(self, status: int, code: str, record: str) -> Expected:
        """Return what is expected if the password is wrong."""
        locks = [Stage(records=["authn_login_lock"]) for counter in self._counters if counter.will_lock(self._now)]
        return Expected(status, [self.counted, Stage(records=[record]), *locks], code)

    def succeed(self) -> None:
        for counter in self._counters:
            counter.succeed()

    def cancel(self) -> None:
        for counter in self._counters:
            counter.cancel()

    def _count(self) -> None:
        for counter in self._counters:
            counter.count(self._now)


class CountedProof:
    """A proof of identity in a session. It is pending while it is checked."""

    def __init__(self, session: Session, now: float) -> None:
        self._session = session
        self._now = now
        self.counted = Stage(self._count)

    @property
    def rejection(self) -> Expected | None:
        """What is expected if crashes have left so many pending proofs that one more could exceed the maximum."""
        open_proofs = self._session.wrong_proofs + self._session.count_pending_proofs(self._now)
        return None if open_proofs < MAX_WRONG_PROOFS else Expected(429, code="too_many_attempts")

    def failure(self, record: str, *, code: str = "invalid_current_password") -> Expected:
        """Return what is expected if the proof is wrong."""
        is_last = self._session.wrong_proofs + 1 == MAX_WRONG_PROOFS
        records = [record, *(["authn_step_up_fail_max"] if is_last else [])]
        return Expected(400, [self.counted, Stage(self._fail, records, is_rejection=True)], code)

    def succeed(self) -> None:
        self._session.pending_proofs -= 1
        self._session.wrong_proofs = 0

    def _count(self) -> None:
        self._session.pending_proofs = self._session.count_pending_proofs(self._now) + 1
        self._session.pending_proofs_until = self._now + PENDING_PROOF_SECONDS

    def _fail(self) -> None:
        self._session.pending_proofs -= 1
        self._session.wrong_proofs += 1
        self._session.is_revoked = self._session.wrong_proofs == MAX_WRONG_PROOFS


def too_many_attempts(counter: AttemptCounter, before: Sequence[Stage] = ()) -> Expected:
    """Return what is expected during a lockout. Its first rejection is recorded."""

    def mark() -> None:
        counter.is_rejection_recorded = True

    record = [] if counter.is_rejection_recorded else [Stage(mark, ["excess_rate_limit_exceeded"], is_rejection=True)]
    return Expected(429, [*before, *record], "too_many_attempts")


def token_rejection(model: Model, token: AccessToken) -> Expected | None:
    """Return what is expected if the access token is not valid. Return None if it is."""
    return None if token.is_accepted(model.now) else Expected(401, [Stage(records=["authn_token_rejected"])])


def step_up_rejection(
    model: Model, token: AccessToken, step_up: StepUpToken | None, *, needs_passkey: bool = False
) -> Expected | None:
    """Return what is expected if the step-up token is not valid, or its proof not enough. Return None if it is."""
    if step_up and step_up.is_accepted(token.session, model.now) and (step_up.by_passkey or not needs_passkey):
        return None
    return Expected(403, [Stage(records=["authz_fail"])], "step_up_required")


def new_step_up(model: Model, session: Session, *, by_passkey: bool = False) -> StepUpToken:
    """Return a new step-up token of a session."""
    return StepUpToken(session, model.now + STEP_UP_TOKEN_SECONDS, by_passkey)


def step_up_granted(model: Model, session: Session, proof: CountedProof, *, by_passkey: bool = False) -> Expected:
    """Return what is expected of a step-up with a right proof."""
    step_up = new_step_up(model, session, by_passkey=by_passkey)

    def grant() -> None:
        session.step_up = step_up
        proof.succeed()

    stages = [proof.counted, Stage(grant, ["authn_step_up_success"])]
    return Expected(200, stages, learn=partial(_receive_step_up, model, step_up))


def _receive_step_up(model: Model, step_up: StepUpToken, response: Response) -> None:
    step_up.text = response.json["step_up_token"]
    model.step_up_tokens.append(step_up)


def step_up_header(step_up: StepUpToken | None) -> dict[str, str]:
    return {"Step-Up-Token": step_up.text} if step_up and step_up.text else {}


def _revocation(sessions: list[Session]) -> Expected:
    """Return what is expected of a request that revokes ``sessions``. If there are none, it writes no record."""
    return Expected(204, [Stage(partial(revoke, sessions), ["authn_token_revoked"])] if sessions else [])


def revoke(sessions: Sequence[Session]) -> None:
    """Revoke sessions."""
    for session in sessions:
        session.is_revoked = True


@dataclass(frozen=True)
class Revocation:
    """Sessions that a change revokes, and the audit records of that."""

    sessions: list[Session]

    @property
    def records(self) -> list[str]:
        """The names of the records. There is none if there is no session."""
        return ["authn_token_revoked"] if self.sessions else []


def revoke_others(model: Model, session: Session) -> Revocation:
    """Return the revocation of all other sessions of a user."""
    return Revocation(_unrevoked(model, session.account, keep=session))


def _unrevoked(model: Model, account: Account, *, keep: Session | None) -> list[Session]:
    sessions = model.sessions_of(account)
    return [session for session in sessions if not (session.is_revoked or session.is_deleted or session is keep)]


def open_session(
    model: Model,
    session: Session,
    step_up: StepUpToken,
    succeed: Callable[[], None],
    replaced: Sequence[Session] = (),
) -> Stage:
    """Return the transaction of a login.

    Args:
        model: the model.
        session: the new session.
        step_up: its step-up token.
        succeed: stops counting the attempt.
        replaced: the sessions that the client had before.

    """
    account = session.account
    is_told = not model.is_known_client(account) and account.login_notice_paused_until <= model.now

    def store() -> None:
        model.sessions.append(session)
        session.add_generation(model.now)
        session.step_up = step_up
        succeed()
        revoke(replaced)
        if is_told and account.is_verified:
            model.add_notice("new_login", account)
            account.login_notice_paused_until = model.now + NEW_LOGIN_NOTICE_PAUSE_SECONDS

    return Stage(store, ["authn_login_success", "authn_token_created", *(["authn_token_revoked"] if replaced else [])])


def session_pair(
    model: Model,
    session: Session,
    stages: Sequence[Stage],
    *,
    step_up: StepUpToken | None = None,
    resource: str | None = None,
) -> Expected:
    """Return what is expected of a request that returns a token pair for ``session``.

    Args:
        model: the model.
        session: the session.
        stages: the transactions.
        step_up: the step-up token in the response, if there is one.
        resource: the other service that the access token is for.

    """
    version = session.token_version
    claims = {"tv": version, "role": session.account.role, "amr": session.methods}
    if resource:
        claims["aud"] = resource

    def receive(response: Response) -> None:
        newest, pair = session.refresh_tokens[-1], response.json
        assert newest.text in {None, pair["refresh_token"]}, f"{session} has two branches"
        newest.text = pair["refresh_token"]
        if step_up:
            _receive_step_up(model, step_up, response)
        assert ("step_up_token" in pair) is (step_up is not None)
        number = len(session.access_tokens)
        session.access_tokens.append(AccessToken(session, number, model.now, version, pair["access_token"], resource))

    return Expected(200, stages, token="access_token", claims=claims, learn=receive)


# --- In the environment -----------------------------------------------------------------------------------------------


def _refresh(token: str, resource: str | None) -> Response:
    body = {"refresh_token": token} if resource is None else {"refresh_token": token, "resource": resource}
    return call("refresh", json_event("POST", "/token/refresh", body))


def call_as(
    token: str, function: str, method: str, path: str, path_parameters: dict[str, str] | None = None, **options: Any
) -> Response:
    """Call a protected function as the gateway does. If the authorizer denies the request, the gateway responds."""
    decision = authorize(token)
    if "context" not in decision:
        return Response(401, {}, '{"code": "invalid_token"}')
    event = proxy_event(method, path, path_parameters=path_parameters, authorizer=decision["context"], **options)
    return call(function, event)


def run_command(*arguments: str) -> Response:
    """Run an operator's command. Return its exit status as a response: 200, or 503 if it may be retried."""
    return Response(503 if accounts.main(arguments) else 200, {}, "null")

"""Operations with mails: requests for a link, and requests with a link or a code. See ``operations``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.stateful.environments import Job
from tests.stateful.model import (
    MAIL_CLIENT_IP,
    SECURED_BEFORE_EVENT_SECONDS,
    AccessToken,
    Account,
    AttemptCounter,
    MailToken,
    Model,
    StepUpToken,
)
from tests.stateful.operations import (
    Expected,
    PasswordAttempt,
    Stage,
    call_as,
    create_account,
    run_command,
    step_up_header,
    step_up_rejection,
    token_rejection,
    too_many_attempts,
)
from tests.support.factories import register
from tests.support.functions import Response
from tests.support.mail_links import (
    complete_reset,
    request_reset,
    request_verification,
    secure_account,
    verify_email,
)

_NOT_VALID = "invalid_or_expired_code"

# --- Requests for a mail ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestVerification:
    """POST /email/verification."""

    email: str

    def job(self) -> Job:
        return partial(request_verification, self.email, sourceIp=MAIL_CLIENT_IP)

    def expect(self, model: Model) -> Expected:
        account = model.accounts.get(self.email)
        is_fit = account is not None and account.status == "active" and not account.is_verified
        queue = partial(model.add_mail_token, "verify_email", self.email, account if is_fit else None)
        return _open_mail_request(
            model, "verification", self.email, Stage(queue, ["user_email_verification_requested"])
        )


@dataclass(frozen=True)
class RequestReset:
    """POST /password/reset. An account that is not verified gets a link to register again."""

    email: str

    def job(self) -> Job:
        return partial(request_reset, self.email, sourceIp=MAIL_CLIENT_IP)

    def expect(self, model: Model) -> Expected:
        account = model.accounts.get(self.email)
        kind = "register_again" if account and not account.is_verified else "reset_password"
        is_fit = account is not None and account.status == "active"
        queue = partial(model.add_mail_token, kind, self.email, account if is_fit else None)
        return _open_mail_request(model, "reset", self.email, Stage(queue, ["authn_password_reset_requested"]))


@dataclass(frozen=True)
class RequestEmailChange:
    """PUT /users/{id}/email."""

    token: AccessToken
    email: str
    step_up: StepUpToken | None = None

    def job(self) -> Job:
        user_id, headers = str(self.token.session.account.id), step_up_header(self.step_up)
        options = {"body": json.dumps({"new_email": self.email}).encode(), "sourceIp": MAIL_CLIENT_IP}
        path = f"/users/{user_id}/email"
        return partial(
            call_as, self.token.text, "verify_email", "PUT", path, {"id": user_id}, headers=headers, **options
        )

    def expect(self, model: Model) -> Expected:
        account = self.token.session.account
        if rejection := token_rejection(model, self.token):
            return rejection
        if not account.is_verified:
            return Expected(403, [Stage(records=["authz_fail"])], "email_not_verified")
        needs_passkey = model.has_passkey(account)
        if rejection := step_up_rejection(model, self.token, self.step_up, needs_passkey=needs_passkey):
            return rejection
        queue = Stage(partial(self._queue, model, account), ["user_email_change_requested"])
        by_caller = [model.mail_request_counter(MAIL_CLIENT_IP), model.email_change_counter(account)]
        return _mail_request(model, by_caller, model.mail_counters("change", self.email), queue)

    def _queue(self, model: Model, account: Account) -> None:
        """Add the mail to the new address. The user of a taken address gets another one."""
        holder = model.accounts.get(self.email)
        if holder is None:
            is_reserved = model.is_reserved(self.email, by_other_than=account)
            model.add_mail_token("confirm_new_email", self.email, None if is_reserved else account)
        elif holder is account:
            model.add_mail_token("confirm_new_email", self.email, None)
        elif holder.is_verified:
            model.add_mail_token("address_taken", self.email, None)
        else:
            model.add_mail_token("register_again", self.email, holder if holder.status == "active" else None)


def _open_mail_request(model: Model, request: str, email: str, queue: Stage) -> Expected:
    """Return what is expected of a request for a mail that any client may send."""
    by_address = [*model.mail_counters(request, email), model.mail_to_address_counter(request, email)]
    return _mail_request(model, [model.mail_request_counter(MAIL_CLIENT_IP)], by_address, queue)


def _mail_request(
    model: Model, by_caller: Sequence[AttemptCounter], by_address: Sequence[AttemptCounter], queue: Stage
) -> Expected:
    """Return what is expected of a request for a mail. The response does not show whether one is sent.

    Args:
        model: the model.
        by_caller: counters at whose limit the request is rejected.
        by_address: counters at whose limit no mail is sent.
        queue: the transaction that queues the mail.

    """
    if locked := next((counter for counter in by_caller if counter.is_locked(model.now)), None):
        return too_many_attempts(locked)
    counted = Stage(partial(_count, by_caller, model.now))
    if any(counter.is_locked(model.now) for counter in by_address):
        return Expected(202, [counted, *_if_cancelled(counted, Stage(partial(_succeed, by_caller)), [])])
    return Expected(202, [counted, Stage(partial(_count, by_address, model.now)), queue])


def _count(counters: Sequence[AttemptCounter], now: float) -> None:
    for counter in counters:
        counter.count(now)


def _succeed(counters: Sequence[AttemptCounter]) -> None:
    for counter in counters:
        counter.succeed()


def _if_cancelled(counted: Stage, cancelled: Stage, records: Sequence[Stage]) -> list[Stage]:
    """Return the stages of an attempt that writes ``records`` and has been counted.

    If a fault keeps it from writing them, it is cancelled. They may be stored all the same, because it was rejected.
    """
    return [cancelled, *records, counted]


# --- Requests with a link or a code -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verify:
    """POST /email/verify with a link or a code, and with the password or an access token.

    The link of a new address changes the address of the account.
    """

    mail_token: MailToken
    account_proof: str | AccessToken
    #: The code to try. None: the link.
    code: str | None = None

    def job(self) -> Job:
        proof = self.account_proof
        body = {"password": proof} if isinstance(proof, str) else {}
        if self.code is not None:
            body |= {"email": self.mail_token.email, "code": self.code}
        else:
            assert self.mail_token.text, "no user has this link"
            body["token"] = self.mail_token.text
        return partial(_verify, body, None if isinstance(proof, str) else proof.text)

    def expect(self, model: Model) -> Expected:
        attempt = _TokenAttempt(model, code_for=None if self.code is None else self.mail_token.email)
        if attempt.rejection:
            return attempt.rejection
        mail_token: MailToken | None = self.mail_token
        before = [attempt.counted]
        if self.code is not None:
            mail_token, tried = self._try_code(model)
            # A failure of the service cancels the attempt, and not the try of the code.
            before += _if_cancelled(attempt.counted, Stage(attempt.succeed), [tried])
        account = mail_token.account if mail_token else None
        if mail_token is None or account is None or not self._is_accepted(mail_token, model.now):
            return Expected(400, [*before, _FAILED], _NOT_VALID)
        return self._with_account_proof(model, mail_token, account, before, attempt)

    def _is_accepted(self, mail_token: MailToken, now: float) -> bool:
        return mail_token.purpose in {"verify_email", "change_email"} and mail_token.is_accepted(now)

    def _try_code(self, model: Model) -> tuple[MailToken | None, Stage]:
        """Return the token whose code it is, if it is valid, and the transaction that counts the try."""
        at_address = [token for token in model.mail_tokens if token.email == self.mail_token.email]
        tried = [token for token in at_address if token.has_open_code(model.now)]

        def count() -> None:
            for token in tried:
                token.tries += 1

        return next((token for token in tried if token.code == self.code), None), Stage(count)

    def _with_account_proof(
        self, model: Model, mail_token: MailToken, account: Account, before: list[Stage], attempt: "_TokenAttempt"
    ) -> Expected:
        cancelled = Stage(attempt.succeed)
        if not isinstance(self.account_proof, str):
            session = self.account_proof.session
            if not self.account_proof.is_accepted(model.now):
                rejected = _if_cancelled(attempt.counted, cancelled, [Stage(records=["authn_token_rejected"])])
                return Expected(401, [*before, *rejected, cancelled], "invalid_token")
            if session.account is not account:
                return Expected(400, [*before, _FAILED], _NOT_VALID)
            return self._success(model, mail_token, before, attempt)
        login = PasswordAttempt(model, account.email)
        if login.rejection:
            rejected = _if_cancelled(attempt.counted, cancelled, login.rejection.stages)
            return Expected(429, [*before, *rejected, cancelled], "too_many_attempts")
        if not account.accepts(self.account_proof):
            failure = login.failure(400, "invalid_current_password", "user_email_verify_fail")
            return Expected(400, [*before, *failure.stages, cancelled], failure.code)
        return self._success(model, mail_token, [*before, login.counted], attempt, login)

    def _success(
        self,
        model: Model,
        mail_token: MailToken,
        before: list[Stage],
        attempt: "_TokenAttempt",
        login: PasswordAttempt | None = None,
    ) -> Expected:
        """Return what is expected after all proofs. Another account may have the new address by now."""
        account = mail_token.account
        assert account, "the token proves nothing"
        cancelled = [Stage(login.cancel)] if login else []

        def succeed() -> None:
            attempt.succeed()
            if login:
                login.succeed()

        def end_step_ups() -> None:
            for session in model.sessions_of(account):
                if session.step_up and model.now < session.step_up.expires_at:
                    session.step_up = None

        def verify() -> None:
            succeed()
            account.is_verified = True
            model.delete_mail_tokens(account, lambda token: token.purpose in {"verify_email", "claim_address"})

        def change() -> None:
            succeed()
            model.change_email(account, mail_token.email, is_verified=True)

        if mail_token.purpose == "verify_email":
            return Expected(204, [*before, Stage(verify, ["user_email_verified"])])
        # A failure of the service cancels the attempts, and not the end of the step-ups.
        counted_again = [attempt.counted, *([login.counted] if login else [])]
        before = [*before, Stage(end_step_ups), *cancelled, Stage(attempt.succeed), *counted_again]
        if model.is_taken(mail_token.email, by_other_than=account):
            return Expected(400, [*before, _FAILED, *cancelled], _NOT_VALID)
        return Expected(204, [*before, Stage(change, ["user_email_changed"])])


@dataclass(frozen=True)
class CompleteReset:
    """POST /password/reset/complete."""

    mail_token: MailToken
    password: str

    def job(self) -> Job:
        assert self.mail_token.text, "no user has this link"
        return partial(complete_reset, self.mail_token.text, self.password)

    def expect(self, model: Model) -> Expected:
        attempt = _TokenAttempt(model)
        account = self.mail_token.account
        if attempt.rejection:
            return attempt.rejection
        if account is None or self.mail_token.purpose != "reset_password" or not self.mail_token.is_accepted(model.now):
            failed = Stage(records=["authn_password_reset_fail"])
            return Expected(400, [attempt.counted, failed], _NOT_VALID)

        def reset() -> None:
            account.password, account.is_locked = self.password, False
            account.token_version += 1
            account.known_client_version, account.known_client_since = account.token_version, model.now
            # An attacker may have changed the address, so links that were sent to others stay.
            model.delete_mail_tokens(
                account, lambda token: token.purpose != "secure_account" or token.email == account.email
            )
            model.add_notice("password_reset", account)
            for counter in model.login_counters(account.email):
                if counter.in_a_row:
                    counter.reset()
            attempt.succeed()

        return Expected(204, [attempt.counted, Stage(reset, ["authn_password_reset", "authn_token_revoked"])])


@dataclass(frozen=True)
class RegisterAgain:
    """POST /users with the ``address_token`` of a link. The new account replaces the one that is not verified."""

    mail_token: MailToken
    email: str
    password: str

    def job(self) -> Job:
        assert self.mail_token.text, "no user has this link"
        return partial(register, email=self.email, password=self.password, address_token=self.mail_token.text)

    def expect(self, model: Model) -> Expected:
        registration, attempt = model.registration_counter(), _TokenAttempt(model)
        counted = Stage(partial(registration.count, model.now))
        account = self.mail_token.account
        if attempt.rejection:
            return Expected(429, [counted, *attempt.rejection.stages, Stage(registration.succeed)], "too_many_attempts")
        is_claim = self.mail_token.purpose == "claim_address" and self.mail_token.email == self.email
        if account is None or not is_claim or not self.mail_token.is_accepted(model.now):
            return Expected(400, [counted, attempt.counted, _FAILED, Stage(registration.succeed)], _NOT_VALID)

        def replace() -> None:
            account.status = "deleted"
            for session in model.sessions_of(account):
                session.is_deleted = True
            model.delete_mail_tokens(account, lambda _token: True)
            model.delete_changes(account)
            for passkey in model.passkeys_of(account):
                passkey.is_deleted = True
            for counter in model.passkey_counters(account)[1:]:
                counter.reset()
            create_account(model, self.email, self.password).is_verified = True
            attempt.succeed()

        replaced = Stage(replace, ["user_deleted", "user_created", "user_email_verified"])
        return Expected(201, [counted, attempt.counted, replaced])


@dataclass(frozen=True)
class SecureAccount:
    """POST /account/secure: "this was not me"."""

    mail_token: MailToken

    def job(self) -> Job:
        assert self.mail_token.text, "no user has this link"
        return partial(secure_account, self.mail_token.text)

    def expect(self, model: Model) -> Expected:
        attempt = _TokenAttempt(model)
        account = self.mail_token.account
        if attempt.rejection:
            return attempt.rejection
        is_valid = self.mail_token.purpose == "secure_account" and self.mail_token.is_accepted(model.now)
        if account is None or not is_valid:
            return Expected(400, [attempt.counted, Stage(records=["user_secure_fail"])], _NOT_VALID)
        if self.mail_token.is_used:
            return Expected(204, [attempt.counted, Stage(attempt.succeed)])
        since = self.mail_token.created_at - SECURED_BEFORE_EVENT_SECONDS
        undone = model.reversible_changes(account, since=since)
        removed = [passkey for passkey in model.passkeys_of(account) if passkey.created_at >= since]

        def secure() -> None:
            attempt.succeed()
            for token in model.mail_tokens:
                if token.account is account and token.created_at >= self.mail_token.created_at:
                    token.is_used = token.is_used or token.purpose == "secure_account"
            account.is_locked = True
            account.token_version += 1
            for passkey in removed:
                passkey.is_deleted = True
            if undone:
                model.delete_changes(account, since=undone[0].changed_at)
                model.move_account(account, undone[0].old_email, is_verified=True)
            model.delete_mail_tokens(account, lambda token: token.purpose != "secure_account")

        records = ["user_secured", "authn_token_revoked", *(["user_email_changed"] if undone else [])]
        return Expected(204, [attempt.counted, Stage(secure, records)])


# --- Operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChangeEmailByOperator:
    """``uv run accounts change-email``."""

    email: str
    new_email: str
    was_hijacked: bool = False

    def job(self) -> Job:
        options = ["--hijacked"] if self.was_hijacked else []
        return partial(run_command, "change-email", self.email, self.new_email, *options)

    def expect(self, model: Model) -> Expected:
        account = model.accounts.get(self.email)
        if account is None or self.email == self.new_email or model.is_taken(self.new_email, by_other_than=account):
            return Expected(503)

        def change() -> None:
            if self.was_hijacked:
                model.delete_changes(account)
                model.delete_mail_tokens(account, lambda _token: True)
                account.is_verified = False
            model.change_email(account, self.new_email, is_verified=False, by_operator=True)
            account.token_version += 1
            model.add_mail_token("verify_email", self.new_email, account)

        return Expected(200, [Stage(change, ["user_email_changed"])])


# --- Shared -----------------------------------------------------------------------------------------------------------

_FAILED = Stage(records=["user_email_verify_fail"])


class _TokenAttempt:
    """A link or a code. It is counted before it is checked."""

    def __init__(self, model: Model, *, code_for: str | None = None) -> None:
        self._now = model.now
        self._counters = [model.mail_token_counter(), *([model.code_counter(code_for)] if code_for else [])]
        self.counted = Stage(self._count)

    @property
    def rejection(self) -> Expected | None:
        """What is expected if too many were not valid, otherwise None."""
        locked = next((counter for counter in self._counters if counter.is_locked(self._now)), None)
        return too_many_attempts(locked) if locked else None

    def succeed(self) -> None:
        _succeed(self._counters)

    def _count(self) -> None:
        _count(self._counters, self._now)


def _verify(body: Mapping[str, str], access_token: str | None) -> Response:
    return verify_email(access_token=access_token, identity=None, **body)

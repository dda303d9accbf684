"""Operations with mails: requests for a link, and requests with a link or a code. See ``operations``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.stateful.environments import Job
from tests.stateful.model import MAIL_CLIENT_IP, AccessToken, Account, MailToken, Model
from tests.stateful.operations import Expected, PasswordAttempt, Stage, create_account, too_many_attempts
from tests.support.factories import register
from tests.support.functions import Response
from tests.support.mail_links import complete_reset, request_reset, request_verification, verify_email

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
        return _mail_request(model, "verification", self.email, Stage(queue, ["user_email_verification_requested"]))


@dataclass(frozen=True)
class RequestReset:
    """POST /password/reset. An account that is not verified gets a link to register again."""

    email: str

    def job(self) -> Job:
        return partial(request_reset, self.email, sourceIp=MAIL_CLIENT_IP)

    def expect(self, model: Model) -> Expected:
        account = model.accounts.get(self.email)
        purpose = "claim_address" if account and not account.is_verified else "reset_password"
        is_fit = account is not None and account.status == "active"
        queue = partial(model.add_mail_token, purpose, self.email, account if is_fit else None)
        return _mail_request(model, "reset", self.email, Stage(queue, ["authn_password_reset_requested"]))


def _mail_request(model: Model, request: str, email: str, queue: Stage) -> Expected:
    """Return what is expected of a request for a mail. The response does not show whether one is sent."""
    client_ip = model.mail_request_counter(MAIL_CLIENT_IP)
    counters = [*model.mail_counters(request, email), model.mail_to_address_counter(request, email)]
    counted = Stage(partial(client_ip.count, model.now))
    if locked := next((counter for counter in counters if counter.is_locked(model.now)), None):
        rejection = too_many_attempts(locked).stages
        return Expected(202, [counted, *_if_cancelled(counted, Stage(client_ip.succeed), rejection)])

    def count_for_address() -> None:
        for counter in counters:
            counter.count(model.now)

    return Expected(202, [counted, Stage(count_for_address), queue])


def _if_cancelled(counted: Stage, cancelled: Stage, records: Sequence[Stage]) -> list[Stage]:
    """Return the stages of an attempt that writes ``records`` and has been counted.

    If a fault keeps it from writing them, it is cancelled. They may be stored all the same, because it was rejected.
    """
    return [cancelled, *records, counted]


# --- Requests with a link or a code -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verify:
    """POST /email/verify with a link or a code, and with the password or an access token."""

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
        return self._with_account_proof(model, account, before, attempt)

    def _is_accepted(self, mail_token: MailToken, now: float) -> bool:
        return mail_token.purpose == "verify_email" and mail_token.is_accepted(now)

    def _try_code(self, model: Model) -> tuple[MailToken | None, Stage]:
        """Return the token whose code it is, if it is valid, and the transaction that counts the try."""
        at_address = [token for token in model.mail_tokens if token.email == self.mail_token.email]
        tried = [token for token in at_address if token.has_open_code(model.now)]

        def count() -> None:
            for token in tried:
                token.tries += 1

        return next((token for token in tried if token.code == self.code), None), Stage(count)

    def _with_account_proof(
        self, model: Model, account: Account, before: list[Stage], attempt: "_TokenAttempt"
    ) -> Expected:
        cancelled = Stage(attempt.succeed)
        if not isinstance(self.account_proof, str):
            session = self.account_proof.session
            if not self.account_proof.is_accepted(model.now):
                rejected = _if_cancelled(attempt.counted, cancelled, [Stage(records=["authn_token_rejected"])])
                return Expected(401, [*before, *rejected, cancelled], "invalid_token")
            if session.account is not account:
                return Expected(400, [*before, _FAILED], _NOT_VALID)
            return self._success(model, account, before, [attempt.succeed])
        login = PasswordAttempt(model, account.email)
        if login.rejection:
            rejected = _if_cancelled(attempt.counted, cancelled, login.rejection.stages)
            return Expected(429, [*before, *rejected, cancelled], "too_many_attempts")
        if self.account_proof != account.password:
            failure = login.failure(400, "invalid_current_password", "user_email_verify_fail")
            return Expected(400, [*before, *failure.stages, cancelled], failure.code)
        return self._success(model, account, [*before, login.counted], [attempt.succeed, login.succeed])

    def _success(
        self, model: Model, account: Account, before: list[Stage], succeed: Sequence[Callable[[], None]]
    ) -> Expected:
        def verify() -> None:
            account.is_verified = True
            model.delete_mail_tokens(account, also=())
            for each in succeed:
                each()

        return Expected(204, [*before, Stage(verify, ["user_email_verified"])])


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
            account.password = self.password
            account.token_version += 1
            model.delete_mail_tokens(account)
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
            model.delete_mail_tokens(account)
            create_account(model, self.email, self.password).is_verified = True
            attempt.succeed()

        replaced = Stage(replace, ["user_deleted", "user_created", "user_email_verified"])
        return Expected(201, [counted, attempt.counted, replaced])


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
        for counter in self._counters:
            counter.succeed()

    def _count(self) -> None:
        for counter in self._counters:
            counter.count(self._now)


def _verify(body: Mapping[str, str], access_token: str | None) -> Response:
    return verify_email(access_token=access_token, identity=None, **body)

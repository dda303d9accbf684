"""The domain's errors: what went wrong, in words that may leave the service.

Services raise these; ``web.problems`` turns them into RFC 9457 problem documents. ``status`` and ``headers`` are here
so that an error and its HTTP face are read in one place; nothing but ``web`` looks at them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one input field. ``message`` never repeats what was sent (it can be a password)."""

    field: str
    message: str


class ServiceError(Exception):
    """Base of all errors with a public face."""

    status: ClassVar[int] = 500
    #: Stable, snake_case; clients compare this and not the text.
    code: ClassVar[str] = "internal_error"
    detail: str = "Something went wrong on our side. The request id finds it in our logs."
    headers: Mapping[str, str] = {}
    errors: Sequence[FieldError] = ()
    #: Further members of the problem document (RFC 9457 section 3.2).
    members: Mapping[str, Any] = {}


class ValidationFailed(ServiceError):
    """The body or a parameter breaks a rule; ``errors`` says which."""

    status = 422
    code = "validation_failed"
    detail = "The request has fields that are missing, unknown or not valid."

    def __init__(self, *errors: FieldError, is_recorded: bool = True) -> None:
        """Store one ``FieldError`` per fault, and whether the audit log gets an event."""
        super().__init__(self.detail)
        self.errors = errors
        self.is_recorded = is_recorded


class UnsupportedMediaType(ServiceError):
    """The body is not declared as JSON (RFC 9110 section 15.5.16)."""

    status = 415
    code = "unsupported_media_type"
    detail = "Send the body as JSON, with the header Content-Type: application/json."


class UnsupportedContentEncoding(ServiceError):
    """The body is compressed (RFC 9110 section 15.5.16).

    A compressed body would get around the limit of its size, and around every filter that stands before this service.
    """

    status = 415
    code = "unsupported_content_encoding"
    detail = "Send the body as it is, without compression. The only Content-Encoding that is accepted is identity."
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}


class RequestTooLarge(ServiceError):
    """The body is larger than any that this service takes."""

    status = 413
    code = "request_too_large"
    detail = "The request is larger than this service takes."


class EmailTaken(ServiceError):
    """The e-mail address has an account already."""

    status = 409
    code = "email_taken"
    detail = "An account with this e-mail address exists already."


class InvalidCredentials(ServiceError):
    """Unknown e-mail, wrong password or disabled account: one answer for all, so that none can be told apart."""

    status = 401
    code = "invalid_credentials"
    detail = "The e-mail address or the password is wrong."
    # RFC 9110 section 11.6.1 wants a challenge with every 401. The scheme is the one that the login leads to.
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidCurrentPassword(ServiceError):
    """Who wants to change their password does not know the one that they have.

    Not a 401: the access token is good, and no client should throw it away because of a typing error.
    """

    status = 400
    code = "invalid_current_password"
    detail = "The current password is wrong."


class InvalidToken(ServiceError):
    """The access token is not one of ours, has expired, or its session has ended (RFC 6750 section 3.1)."""

    status = 401
    code = "invalid_token"
    detail = "The access token is missing, not valid, or its session has ended."
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InvalidRefreshToken(ServiceError):
    """The refresh token is unknown, spent or expired, or its session has ended: one answer for all."""

    status = 401
    code = "invalid_refresh_token"
    detail = "The refresh token is not valid. Log in again."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidMFAToken(ServiceError):
    """The mfa_token is not one of ours or has expired: the login starts again with the password."""

    status = 401
    code = "invalid_mfa_token"
    detail = "The mfa_token is not valid. Log in again."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class PasskeyLoginFailed(ServiceError):
    """The passkey is unknown or proves nothing: one answer for all, so that none can be told apart."""

    status = 401
    code = "passkey_login_failed"
    detail = "The login with this passkey failed."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class PasswordRequired(ServiceError):
    """The passkey is synced and inconsistent with its record, and is the only factor.

    Only the holder of the passkey sees this error, so it tells an attacker nothing.
    """

    status = 401
    code = "password_required"
    detail = (
        "This passkey has changed since its last use, which a copy of it would look like too. Log in with your e-mail "
        "address and your password, and then with this passkey. After that, the passkey alone is enough again."
    )
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidChallenge(ServiceError):
    """The challenge is unknown, spent or expired, or belongs to another ceremony or user."""

    status = 400
    code = "invalid_challenge"
    detail = "The challenge is not valid any more. Begin again."


class PasskeyRejected(ServiceError):
    """What the authenticator answered to a registration breaks a rule of WebAuthn, or is registered already."""

    status = 400
    code = "passkey_rejected"
    detail = "The passkey could not be registered."


class TooManyPasskeys(ServiceError):
    """The user has as many passkeys as they may have."""

    status = 409
    code = "too_many_passkeys"
    detail = "You have as many passkeys as you can have. Delete one first."


class StepUpRequired(ServiceError):
    """The request needs a step-up token, or one of another proof. See docs/decisions/0018."""

    status = 403
    code = "step_up_required"
    detail = "Prove your identity with POST /step-up, and repeat the request with the header Step-Up-Token."

    def __init__(self, *methods: str) -> None:
        """Take the proofs that open the request: ``webauthn``, ``password`` or both."""
        super().__init__(self.detail)
        self.members = {"methods": list(methods)}


class PasskeyLoginRequired(ServiceError):
    """The request needs a session that was opened with a passkey, of an account that has one.

    A code of its own, because a step-up does not help: it leaves the session's ``amr`` as it is.
    """

    status = 403
    code = "passkey_login_required"
    detail = "Log in with your passkey, and repeat the request."


class StepUpFailed(ServiceError):
    """The passkey does not prove that the caller is the account's user. Not a 401, because the access token is good."""

    status = 400
    code = "step_up_failed"
    detail = "The step-up with this passkey failed."


class StepUpPasswordRequired(StepUpFailed):
    """The passkey is genuine, but not a full proof of identity by itself."""

    code = "password_required"
    detail = "This passkey is not enough alone. Begin again, and send current_password in the same request."


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    detail = "You may not do this."


class NotFound(ServiceError):
    """What was asked for does not exist, and the caller may know that."""

    status = 404
    code = "not_found"
    detail = "There is nothing here."


class NoPasskey(NotFound):
    """The user has no passkey that could be removed."""

    detail = "This user has no passkey."


class TooManyAttempts(ServiceError):
    """Too many attempts have failed; nothing is tried before the lock is over.

    An unknown e-mail is counted as a known one is, so the answer does not tell which it was.
    """

    status = 429
    code = "too_many_attempts"
    detail = "There were too many attempts. Try again later."

    def __init__(self, *, limit: str, quota: int, window: int, retry_after: int) -> None:
        """Name the limit in header fields of RFC 9110 (10.2.3) and of draft-ietf-httpapi-ratelimit-headers.

        Args:
            limit: its name, ASCII without quotes.
            quota: attempts that may fail in ``window``.
            window: seconds.
            retry_after: seconds until the next attempt.

        """
        super().__init__(self.detail)
        self.headers = {
            "Retry-After": str(retry_after),
            "RateLimit-Policy": f'"{limit}";q={quota};w={window}',
            "RateLimit": f'"{limit}";r=0;t={retry_after}',
        }


class ServiceUnavailable(ServiceError):
    """Something that this request needs does not answer; the same request can work later."""

    status = 503
    code = "service_unavailable"
    detail = "The service is not available at the moment. Try again in a few seconds."
    headers: Mapping[str, str] = {"Retry-After": "5"}


class DatabaseUnavailable(ServiceUnavailable):
    """The database is away, locked, full, or every retry of a conflict has failed."""


class Misconfigured(ServiceUnavailable):
    """A setting is wrong. The reason goes to the log, not to the client."""


class StorageNotMounted(Misconfigured):
    """The ``local`` stage has no shared folder: a plain ``sam local start-api``. Here the client is the developer."""

    code = "storage_not_mounted"
    detail = (
        "The functions share no storage: under a plain 'sam local start-api' each container would keep a database of "
        "its own. Run 'make sam' (SAM with a shared volume) or 'make run' (no Docker)."
    )

"""The errors of services, with texts that the client may see.

Services raise them. ``web.problems`` turns them into problem documents (RFC 9457), and ``web.oauth`` into responses of
RFC 6749. ``status`` and ``headers`` stand here so that everything about an error is in one place. Only ``web`` reads
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of an input field. ``message`` never repeats the input, which can be a password."""

    field: str
    message: str


class ServiceError(Exception):
    """Base class of all errors that become problem documents."""

    status: ClassVar[int] = 500
    #: A stable name in snake_case, which clients compare.
    code: ClassVar[str] = "internal_error"
    detail: str = "Something went wrong on our side. The request id finds it in our logs."
    headers: Mapping[str, str] = {}
    errors: Sequence[FieldError] = ()
    #: Further members of the problem document (RFC 9457 section 3.2).
    members: Mapping[str, Any] = {}


class ValidationFailed(ServiceError):
    """The body or a parameter is not valid. ``errors`` names the fields."""

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

    A compressed body would bypass the size limit, and every filter in front of this service.
    """

    status = 415
    code = "unsupported_content_encoding"
    detail = "Send the body as it is, without compression. The only Content-Encoding that is accepted is identity."
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}


class RequestTooLarge(ServiceError):
    """The body is larger than this service accepts."""

    status = 413
    code = "request_too_large"
    detail = "The request is larger than this service accepts."


class EmailTaken(ServiceError):
    """An account with this e-mail address exists already."""

    status = 409
    code = "email_taken"
    detail = "An account with this e-mail address exists already."


class InvalidCredentials(ServiceError):
    """Unknown e-mail address, wrong password or disabled account. All get the same response, so they look alike."""

    status = 401
    code = "invalid_credentials"
    detail = "The e-mail address or the password is wrong."
    # RFC 9110 section 11.6.1 requires a challenge in every 401. Bearer is the scheme of requests after the login.
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidCurrentPassword(ServiceError):
    """The current password in a change of the password is wrong.

    The status is not 401, because the access token is valid and the client should keep it.
    """

    status = 400
    code = "invalid_current_password"
    detail = "The current password is wrong."


class InvalidToken(ServiceError):
    """The access token is not this service's or has expired, or its session was revoked (RFC 6750 section 3.1)."""

    status = 401
    code = "invalid_token"
    detail = "The access token is missing, not valid, or its session has ended."
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InvalidRefreshToken(ServiceError):
    """The refresh token is unknown, spent or expired, or its session was revoked. All get the same response."""

    status = 401
    code = "invalid_refresh_token"
    detail = "The refresh token is not valid. Log in again."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidMFAToken(ServiceError):
    """The ``mfa_token`` was not issued by this service or has expired. The login starts again with the password."""

    status = 401
    code = "invalid_mfa_token"
    detail = "The mfa_token is not valid. Log in again."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class PasskeyLoginFailed(ServiceError):
    """The passkey is unknown or its response is not valid. All get the same response, so they look alike."""

    status = 401
    code = "passkey_login_failed"
    detail = "The login with this passkey failed."
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class PasswordRequired(ServiceError):
    """The synced passkey contradicts its stored record, and is the only factor.

    Only the holder of the passkey gets this error, so it reveals nothing to an attacker.
    """

    status = 401
    code = "password_required"
    detail = (
        "This passkey has changed since its last use, which could mean that it was copied. Log in with your e-mail "
        "address and your password, and then with this passkey. After that, the passkey alone is enough again."
    )
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class InvalidChallenge(ServiceError):
    """The challenge is unknown, spent or expired, or belongs to another ceremony or user."""

    status = 400
    code = "invalid_challenge"
    detail = "The challenge is not valid any more. Begin again."


class InvalidOrExpiredCode(ServiceError):
    """The token of a link or the code is unknown, used or expired. All get the same response."""

    status = 400
    code = "invalid_or_expired_code"
    detail = "The link or the code is not valid any more. Request a new mail."


class PasskeyRejected(ServiceError):
    """The response to a registration breaks a rule of WebAuthn, or the passkey is registered already."""

    status = 400
    code = "passkey_rejected"
    detail = "The passkey could not be registered."


class TooManyPasskeys(ServiceError):
    """The account has the maximum number of passkeys."""

    status = 409
    code = "too_many_passkeys"
    detail = "You have the maximum number of passkeys. Delete one first."


class StepUpRequired(ServiceError):
    """The request needs a step-up token, or one that was proved by a passkey. See docs/decisions/0018."""

    status = 403
    code = "step_up_required"
    detail = "Prove your identity with POST /step-up, and repeat the request with the header Step-Up-Token."

    def __init__(self, *methods: str) -> None:
        """Store the proofs that the request accepts: ``webauthn``, ``password`` or both."""
        super().__init__(self.detail)
        self.members = {"methods": list(methods)}


class PasskeyLoginRequired(ServiceError):
    """The request needs a session of a login with a passkey, and an account that still has a passkey.

    It is no ``StepUpRequired``, because a step-up does not change the ``amr`` of the session.
    """

    status = 403
    code = "passkey_login_required"
    detail = "Log in with your passkey, and repeat the request."


class StepUpFailed(ServiceError):
    """The passkey does not prove the caller's identity. The status is not 401, because the access token is valid."""

    status = 400
    code = "step_up_failed"
    detail = "The step-up with this passkey failed."


class StepUpPasswordRequired(StepUpFailed):
    """The passkey is genuine, but not enough without the password."""

    code = "password_required"
    detail = "This passkey is not enough alone. Begin again, and send current_password in the same request."


class Forbidden(ServiceError):
    """The caller is authenticated and not allowed to do this."""

    status = 403
    code = "forbidden"
    detail = "You may not do this."


class EmailNotVerified(ServiceError):
    """The caller's own address must be verified before this request.

    An attacker may have registered the address of another user, and must not get a verified account from it.
    """

    status = 403
    code = "email_not_verified"
    detail = "Verify your e-mail address first."


class NotFound(ServiceError):
    """The resource does not exist, and the caller may know that."""

    status = 404
    code = "not_found"
    detail = "There is nothing here."


class NoPasskey(NotFound):
    """The user has no passkey."""

    detail = "This user has no passkey."


class TooManyAttempts(ServiceError):
    """Too many attempts have failed. Further attempts are rejected until the lockout ends.

    Attempts with unknown e-mail addresses are counted too, so the response does not reveal whether an account exists.
    """

    status = 429
    code = "too_many_attempts"
    detail = "There were too many attempts. Try again later."

    def __init__(self, *, limit: str, quota: int, window: int, retry_after: int) -> None:
        """Set the header fields of RFC 9110 section 10.2.3 and of draft-ietf-httpapi-ratelimit-headers.

        Args:
            limit: The name of the limit, ASCII without quotes.
            quota: The number of attempts that may fail within ``window``.
            window: In seconds.
            retry_after: Seconds until the next attempt.

        """
        super().__init__(self.detail)
        self.headers = {
            "Retry-After": str(retry_after),
            "RateLimit-Policy": f'"{limit}";q={quota};w={window}',
            "RateLimit": f'"{limit}";r=0;t={retry_after}',
        }


class ServiceUnavailable(ServiceError):
    """A service that the request needs does not respond. The same request may succeed later."""

    status = 503
    code = "service_unavailable"
    detail = "The service is not available at the moment. Try again in a few seconds."
    headers: Mapping[str, str] = {"Retry-After": "5"}


class DatabaseUnavailable(ServiceUnavailable):
    """The database is away, locked or full, or every retry after a conflict has failed."""

    def __init__(self, *, may_be_committed: bool = False) -> None:
        """Store whether the connection was lost during the commit, so that the changes may be stored."""
        super().__init__(self.detail)
        self.may_be_committed = may_be_committed


class Misconfigured(ServiceUnavailable):
    """A setting is wrong. The reason is logged and not sent to the client."""


class MailNotConfigured(ServiceUnavailable):
    """This endpoint needs mail, and the deployer has configured none. Repeating the request does not help."""

    code = "mail_not_configured"
    detail = "This service sends no mail, so this request cannot be handled."
    headers: Mapping[str, str] = {}


class StorageNotMounted(Misconfigured):
    """The ``local`` stage has no shared folder, as in a plain ``sam local start-api``, whose user is the developer."""

    code = "storage_not_mounted"
    detail = (
        "The functions share no storage: under a plain 'sam local start-api' each container would have its own "
        "database. Run 'make sam' (SAM with a shared volume) or 'make run' (no Docker)."
    )


class OAuthError(ServiceError):
    """Base class of the errors that RFC 6749 section 5.2 and its extensions define. ``code`` is the member ``error``.

    ``detail`` becomes ``error_description``, so it has no quotation mark, no backslash and only ASCII.
    """

    status = 400
    code = "invalid_request"


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed, or the client authenticates in more than one way."""

    detail = "The request lacks a parameter, repeats one, or is malformed."

    def __init__(self, detail: str = detail) -> None:
        """Store what is wrong, without repeating input."""
        super().__init__(detail)
        self.detail = detail


class InvalidClient(OAuthError):
    """The client is unknown or its authentication failed. All causes get the same response, so they look alike."""

    status = 401
    code = "invalid_client"
    detail = "The authentication of the client failed."
    # RFC 9110 section 11.6.1 requires a challenge in every 401. RFC 6749 section 5.2 requires Basic for its users.
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Basic realm="clients"'}


class UnauthorizedClient(OAuthError):
    """The client is authenticated, and may not do this."""

    code = "unauthorized_client"
    detail = "This client may not do this."


class UnsupportedGrantType(OAuthError):
    """The service does not support the grant type."""

    code = "unsupported_grant_type"
    detail = "The grant_type is not supported."


class InvalidScope(OAuthError):
    """The scope is malformed, or exceeds what the client may have."""

    code = "invalid_scope"
    detail = "The scope is malformed, or this client may not have it."


class InvalidTarget(OAuthError):
    """The requested resource is not registered, or malformed (RFC 8707 section 2)."""

    code = "invalid_target"
    detail = "The resource is malformed, or it is not registered."


class UnsupportedTokenType(OAuthError):
    """The service does not revoke tokens of this type (RFC 7009 section 2.2.1)."""

    code = "unsupported_token_type"
    detail = "Access tokens cannot be revoked. Revoke the refresh token of the session instead."

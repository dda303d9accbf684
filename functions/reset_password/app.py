"""POST /password/reset and /password/reset/complete: a user who has forgotten the password sets a new one.

The link is sent to the verified address of the account. An unverified account gets a link to register again instead
(docs/decisions/0025 and 0026).
"""

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import InvalidOrExpiredCode, MailNotConfigured, TooManyAttempts
from auth_common.field_types import AcceptedResponse
from auth_common.passwords.reset import complete_password_reset, request_password_reset
from auth_common.passwords.schemas import PasswordResetCompletionRequest, PasswordResetRequest
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE, endpoint

app = create_app()


@app.post("/password/reset", status_code=202, **endpoint(access=ANYONE, errors=(MailNotConfigured, TooManyAttempts)))
async def request_reset(body: PasswordResetRequest) -> AcceptedResponse:
    """Send a link to set a new password. The response is the same for every address.

    A mail is sent if the address has an account, and got no such mail within five minutes. The link is valid for 30
    minutes.
    """
    request_password_reset(email=body.email)
    return AcceptedResponse()


@app.post(
    "/password/reset/complete",
    status_code=204,
    **endpoint(access=ANYONE, errors=(InvalidOrExpiredCode, MailNotConfigured, TooManyAttempts)),
)
async def complete_reset(body: PasswordResetCompletionRequest) -> None:
    """Set a new password by the token of a link. All sessions are revoked, and no session is opened.

    Passkeys stay. A password that is too weak does not use up the token.
    """
    complete_password_reset(token=body.token, new_password=body.new_password)


install_audit_writer()
handler = create_handler(app)

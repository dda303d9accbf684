"""POST /email/verify and /email/verification, PUT /users/{id}/email: a user proves that an e-mail address is theirs.

A link or a code alone verifies nothing, because an attacker may have registered the address of the user who opens the
link. So the request also has the account's password or an access token of the account (docs/decisions/0025). A change
of the address is confirmed in the same way (docs/decisions/0027).
"""

from auth_common import errors
from auth_common.accounts.email_change import request_email_change
from auth_common.accounts.email_verification import request_verification_mail, verify_by_code, verify_by_token
from auth_common.accounts.schemas import EmailChangeRequest, EmailVerificationRequest, VerificationMailRequest
from auth_common.audit_log.writer import install_audit_writer
from auth_common.field_types import AcceptedResponse
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId, StepUpToken
from auth_common.web.endpoint import ANYONE, ANYONE_OR_BEARER, BEARER, endpoint
from auth_common.web.optional_caller import OptionalCaller

app = create_app()

VERIFY_ERRORS = (
    errors.InvalidOrExpiredCode,
    errors.InvalidCurrentPassword,
    errors.InvalidToken,
    errors.MailNotConfigured,
    errors.TooManyAttempts,
)
CHANGE_ERRORS = (
    errors.EmailNotVerified,
    errors.Forbidden,
    errors.StepUpRequired,
    # An id with a slash makes another path.
    errors.NotFound,
    errors.MailNotConfigured,
    errors.TooManyAttempts,
)


@app.post("/email/verify", status_code=204, **endpoint(access=ANYONE_OR_BEARER, errors=VERIFY_ERRORS))
async def verify_email(caller: OptionalCaller, body: EmailVerificationRequest) -> None:
    """Verify an address by the link or the code of a mail. The password or an access token proves the account.

    Without a password, the request needs an access token of the account. Neither the link nor the code is used up by a
    wrong password. The link or code of a new address changes the address of the account.
    """
    account_proof = caller if body.password is None else body.password
    if body.token is not None:
        verify_by_token(token=body.token, account_proof=account_proof)
    else:
        verify_by_code(email=body.email or "", code=body.code or "", account_proof=account_proof)


@app.post(
    "/email/verification",
    status_code=202,
    **endpoint(access=ANYONE, errors=(errors.MailNotConfigured, errors.TooManyAttempts)),
)
async def request_email_verification(body: VerificationMailRequest) -> AcceptedResponse:
    """Send another verification mail. The response is the same for every address.

    A mail is sent if the address has an account, is not verified, and got no such mail within five minutes.
    """
    request_verification_mail(email=body.email)
    return AcceptedResponse()


@app.put("/users/{id}/email", status_code=202, **endpoint(access=BEARER, errors=CHANGE_ERRORS))
async def put_email(
    user_id: PathId, caller: Caller, body: EmailChangeRequest, step_up_token: StepUpToken = None
) -> AcceptedResponse:
    """Send a link and a code to the caller's new address. A step-up token is needed.

    The response is the same for every address. `POST /email/verify` with the link or the code changes the address.
    """
    request_email_change(caller, user_id, new_email=body.new_email, step_up_token=step_up_token)
    return AcceptedResponse()


install_audit_writer()
handler = create_handler(app)

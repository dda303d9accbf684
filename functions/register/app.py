"""POST /users: a user registers an account.

Any client may call it. ``RegistrationRequest`` validates the body, and the password policy of NIST SP 800-63B-4
validates the password. The database itself rejects a second account for one e-mail address. With NEUTRAL_REGISTRATION
or EMAIL_VERIFICATION=required the response does not show whether the address was taken.
"""

from typing import Annotated

from fastapi import Header, Response
from fastapi.responses import JSONResponse

from auth_common.accounts.registration import new_user, register_again, register_user
from auth_common.accounts.schemas import RegistrationRequest, UserResponse
from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import EmailTaken, InvalidOrExpiredCode, MailNotConfigured, TooManyAttempts
from auth_common.field_types import AcceptedResponse
from auth_common.mail.locales import choose_locale
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE, endpoint, header, success

app = create_app()

CREATED = success(
    201,
    {"Location": header(pattern="users/[0-9a-f-]{36}", example="users/3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e")},
)
#: The language of the mails to the user.
AcceptLanguage = Annotated[str, Header(alias="Accept-Language", description="The language of mails (RFC 9110).")]
ACCEPTED = {
    "model": AcceptedResponse,
    "description": "If `NEUTRAL_REGISTRATION` is set or `EMAIL_VERIFICATION` is `required`, for a new and for a taken "
    "address alike.",
}


@app.post(
    "/users",
    status_code=201,
    response_model=UserResponse,
    responses={**CREATED, 202: ACCEPTED},
    **endpoint(access=ANYONE, errors=(InvalidOrExpiredCode, EmailTaken, MailNotConfigured, TooManyAttempts)),
)
async def register(
    body: RegistrationRequest, response: Response, accept_language: AcceptLanguage = ""
) -> UserResponse | Response:
    """Create an account. The response has the user, and the header `Location`.

    With the `address_token` of a mail, the new account is verified and replaces an unverified account of the address.
    """
    new = new_user(
        name=body.name,
        email=body.email,
        date_of_birth=body.date_of_birth,
        job_title=body.job_title,
        locale=choose_locale(accept_language),
    )
    if body.address_token is None:
        user = register_user(new, password=body.password)
    else:
        user = register_again(new, password=body.password, address_token=body.address_token)
    if user is None:
        return JSONResponse(AcceptedResponse().model_dump(), status_code=202)
    # Relative to the request's URL (RFC 9110 section 10.2.2), because without a custom domain the path has a stage.
    response.headers["Location"] = f"users/{user.id}"
    return UserResponse.model_validate(user)


install_audit_writer()
handler = create_handler(app)

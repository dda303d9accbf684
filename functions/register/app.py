"""POST /users: a user registers an account.

Any client may call it. ``RegistrationRequest`` validates the body, and the password policy of NIST SP 800-63B-4
validates the password. The database itself rejects a second account for one e-mail address. With NEUTRAL_REGISTRATION
the response does not show whether the address was taken.
"""

from fastapi import Response
from fastapi.responses import JSONResponse

from auth_common.accounts.registration import register_user
from auth_common.accounts.schemas import RegistrationAcceptedResponse, RegistrationRequest, UserResponse
from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import EmailTaken, TooManyAttempts
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE, endpoint, header, success

app = create_app()

CREATED = success(
    201,
    {"Location": header(pattern="users/[0-9a-f-]{36}", example="users/3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e")},
)
ACCEPTED = {
    "model": RegistrationAcceptedResponse,
    "description": "If `NEUTRAL_REGISTRATION` is set, for a new and for a taken address alike.",
}


@app.post(
    "/users",
    status_code=201,
    response_model=UserResponse,
    responses={**CREATED, 202: ACCEPTED},
    **endpoint(access=ANYONE, errors=(EmailTaken, TooManyAttempts)),
)
async def register(body: RegistrationRequest, response: Response) -> UserResponse | Response:
    """Create an account. The response has the user, and the header `Location`."""
    user = register_user(
        name=body.name,
        email=body.email,
        date_of_birth=body.date_of_birth,
        job_title=body.job_title,
        password=body.password,
    )
    if user is None:
        return JSONResponse(RegistrationAcceptedResponse().model_dump(), status_code=202)
    # Relative to the request's URL (RFC 9110 section 10.2.2), because without a custom domain the path has a stage.
    response.headers["Location"] = f"users/{user.id}"
    return UserResponse.model_validate(user)


install_audit_writer()
handler = create_handler(app)

"""POST /users: a person registers themselves.

Anyone may call it. The body is checked by ``RegistrationRequest``, the password by NIST's rules; then the account is
stored, and a second account for one e-mail address is refused by the database itself. With NEUTRAL_REGISTRATION the
answer does not tell which of the two has happened.
"""

from fastapi import Response
from fastapi.responses import JSONResponse

from auth_common.accounts.registration import register_user
from auth_common.accounts.schemas import RegistrationAcceptedResponse, RegistrationRequest, UserResponse
from auth_common.web.application import create_app, create_handler

app = create_app()

_ACCEPTED = {
    "model": RegistrationAcceptedResponse,
    "description": "Where `NEUTRAL_REGISTRATION` is set, for a new and for a taken address alike.",
}


@app.post("/users", status_code=201, response_model=UserResponse, responses={202: _ACCEPTED})
async def register(body: RegistrationRequest, response: Response) -> UserResponse | Response:
    """Create an account and answer 201 with the user and its ``Location``; 409 where the address is taken."""
    user = register_user(
        name=body.name,
        email=body.email,
        date_of_birth=body.date_of_birth,
        job_title=body.job_title,
        password=body.password,
    )
    if user is None:
        return JSONResponse(RegistrationAcceptedResponse().model_dump(), status_code=202)
    # Relative to the request's URL, whose path begins with the stage unless the API has a domain of its own.
    response.headers["Location"] = f"users/{user.id}"
    return UserResponse.model_validate(user)


handler = create_handler(app)

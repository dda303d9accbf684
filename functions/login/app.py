"""POST /login: a password against a token pair, or against the question for the second factor.

Anyone may call it. An unknown e-mail and a wrong password cost the same hash and get the same 401.
"""

from auth_common.login.schemas import LoginRequest, LoginResponse, MFARequiredResponse
from auth_common.login.service import MFARequired, log_in
from auth_common.web.application import create_app, create_handler

app = create_app()


@app.post("/login")
async def login(body: LoginRequest) -> LoginResponse | MFARequiredResponse:
    """Return access token (JWT, 15 minutes), refresh token and step-up token; 401 for anything that does not match.

    If the account has a passkey, return an ``mfa_token`` instead, for POST /webauthn/login/begin.
    """
    outcome = log_in(email=body.email, password=body.password)
    response = MFARequiredResponse if isinstance(outcome, MFARequired) else LoginResponse
    return response.model_validate(outcome)


handler = create_handler(app)

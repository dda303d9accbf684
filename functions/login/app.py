"""POST /login: a password against a token pair, or against the question for the second factor.

Anyone may call it. An unknown e-mail and a wrong password cost the same hash and get the same 401.
"""

from auth_common.services.login import MFARequired, log_in
from auth_common.web.application import create_app, create_handler
from auth_common.web.schemas import LoginRequest, MFARequiredResponse, TokenPairResponse

app = create_app()


@app.post("/login")
async def login(body: LoginRequest) -> TokenPairResponse | MFARequiredResponse:
    """Answer 200 with an access token (JWT, 15 minutes) and a refresh token; 401 for anything that does not match.

    Whoever has a passkey gets an ``mfa_token`` instead, which opens nothing but POST /webauthn/login/begin.
    """
    outcome = log_in(email=body.email, password=body.password)
    response = MFARequiredResponse if isinstance(outcome, MFARequired) else TokenPairResponse
    return response.model_validate(outcome)


handler = create_handler(app)

"""POST /login: a password against a token pair.

Anyone may call it. An unknown e-mail and a wrong password cost the same hash and get the same 401.
"""

from auth_common.services.login import log_in
from auth_common.web.application import create_app, create_handler
from auth_common.web.schemas import LoginRequest, TokenPairResponse

app = create_app()


@app.post("/login")
async def login(body: LoginRequest) -> TokenPairResponse:
    """Answer 200 with an access token (JWT, 15 minutes) and a refresh token; 401 for anything that does not match."""
    return TokenPairResponse.model_validate(log_in(email=body.email, password=body.password))


handler = create_handler(app)

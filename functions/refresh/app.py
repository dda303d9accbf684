"""POST /token/refresh: a refresh token against a new token pair, once.

Whoever holds the token may call it; that is its point. A spent one that comes back ends its whole family.
"""

from auth_common.sessions.refresh import refresh
from auth_common.sessions.schemas import RefreshRequest, TokenPairResponse
from auth_common.web.application import create_app, create_handler

app = create_app()


@app.post("/token/refresh")
async def refresh_tokens(body: RefreshRequest) -> TokenPairResponse:
    """Answer 200 with a new pair; 401 for a token that is unknown, spent or expired, or whose session has ended."""
    return TokenPairResponse.model_validate(refresh(body.refresh_token))


handler = create_handler(app)

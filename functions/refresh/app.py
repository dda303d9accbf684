"""POST /token/refresh: exchange a refresh token for a new token pair, once.

Any client that holds the token may call it. If a spent token is presented again, its whole family is revoked.
"""

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import InvalidRefreshToken, InvalidTarget, TooManyAttempts
from auth_common.sessions.refresh import refresh
from auth_common.sessions.schemas import RefreshRequest, TokenPairResponse
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE, endpoint

app = create_app()


@app.post("/token/refresh", **endpoint(access=ANYONE, errors=(InvalidTarget, InvalidRefreshToken, TooManyAttempts)))
async def refresh_tokens(body: RefreshRequest) -> TokenPairResponse:
    """Exchange a refresh token for a new token pair. A refresh token works once."""
    return TokenPairResponse.model_validate(refresh(body.refresh_token, resource=body.resource))


install_audit_writer()
handler = create_handler(app)

"""POST /token: a registered service gets an access token of its own (client_credentials, RFC 6749 section 4.4).

There is no refresh token. Routes for users never accept the token, because it belongs to no session.
"""

from typing import Annotated

from fastapi import Depends, Response

from auth_common.audit_log.writer import install_audit_writer
from auth_common.clients.schemas import TokenRequest, TokenResponse
from auth_common.clients.service import grant_client_credentials
from auth_common.errors import (
    InvalidClient,
    InvalidScope,
    InvalidTarget,
    TooManyAttempts,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from auth_common.web.application import create_handler
from auth_common.web.endpoint import CLIENT, endpoint, header, success
from auth_common.web.oauth import FORM, authorization, create_oauth_app

app = create_oauth_app()
ERRORS = (InvalidClient, InvalidScope, InvalidTarget, UnauthorizedClient, UnsupportedGrantType, TooManyAttempts)


@app.post(
    "/token",
    response_model_exclude_none=True,
    responses=success(200, {"Pragma": header(value="no-cache")}),
    **endpoint(access=CLIENT, errors=ERRORS),
)
async def service_token(
    body: Annotated[TokenRequest, FORM], credentials: Annotated[str | None, Depends(authorization)], response: Response
) -> TokenResponse:
    """Return an access token to a registered service.

    The service authenticates with HTTP Basic, with `client_id` and `client_secret` in the body, or with a signed
    assertion (`private_key_jwt`, RFC 7523). `resource` is the audience of the token (RFC 8707).
    """
    granted = grant_client_credentials(body.model_dump(exclude_none=True), credentials)
    # RFC 6749 section 5.1 requires it beside "Cache-Control: no-store".
    response.headers["Pragma"] = "no-cache"
    return TokenResponse.model_validate(granted)


install_audit_writer()
handler = create_handler(app)

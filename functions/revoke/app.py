"""POST /revoke: revoke a refresh token (RFC 7009).

Any client that holds the token may call it, in a form. The response does not show whether the token was valid.
"""

from typing import Annotated

from fastapi import Response

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import TooManyAttempts, UnsupportedTokenType
from auth_common.sessions.revocation import revoke_token
from auth_common.sessions.schemas import RevocationRequest
from auth_common.web.application import create_handler
from auth_common.web.endpoint import ANYONE, endpoint
from auth_common.web.oauth import FORM, create_oauth_app

app = create_oauth_app()


@app.post(
    "/revoke",
    response_class=Response,
    **endpoint(access=ANYONE, errors=(UnsupportedTokenType, TooManyAttempts)),
)
async def revoke(body: Annotated[RevocationRequest, FORM]) -> None:
    """Revoke the session of a refresh token. A token that is not valid gets the same response.

    Access tokens cannot be revoked one by one. They end with their session.
    """
    revoke_token(body.token)


install_audit_writer()
handler = create_handler(app)

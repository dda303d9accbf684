"""POST /introspect: a registered service asks whether an access token is still valid (RFC 7662).

The service needs the permission to introspect, and learns nothing about tokens of other audiences.
"""

from typing import Annotated, Any

from fastapi import Depends

from auth_common.audit_log.writer import install_audit_writer
from auth_common.clients.authentication import authenticate_client
from auth_common.errors import InvalidClient, TooManyAttempts, UnauthorizedClient
from auth_common.introspection.schemas import IntrospectionRequest, IntrospectionResponse
from auth_common.introspection.service import introspect
from auth_common.web.application import create_handler
from auth_common.web.endpoint import CLIENT, endpoint
from auth_common.web.oauth import FORM, authorization, create_oauth_app

app = create_oauth_app()


@app.post(
    "/introspect",
    response_model=IntrospectionResponse,
    response_model_exclude_none=True,
    **endpoint(access=CLIENT, errors=(InvalidClient, UnauthorizedClient, TooManyAttempts)),
)
async def introspect_token(
    body: Annotated[IntrospectionRequest, FORM], credentials: Annotated[str | None, Depends(authorization)]
) -> dict[str, Any]:
    """Return to a registered service whether an access token is valid.

    If it is, and its audience is the service, the response has the token's claims. Every other token is
    `{"active": false}`: one for another service, an expired or revoked one, and every other kind of token. The service
    authenticates as at `POST /token`, and needs the permission to introspect.
    """
    client = authenticate_client(body.model_dump(exclude_none=True), credentials)
    claims = introspect(client, body.token)
    return {"active": False} if claims is None else {**claims, "active": True, "token_type": "Bearer"}


install_audit_writer()
handler = create_handler(app)

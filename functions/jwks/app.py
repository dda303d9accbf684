"""GET and HEAD /.well-known/jwks.json: the public keys, for services that verify access tokens (RFC 7517 section 5)."""

from fastapi.responses import JSONResponse

from auth_common.operations.public_keys import public_key_set
from auth_common.operations.schemas import PublicKeySetResponse
from auth_common.web.application import create_app, create_handler, get_and_head
from auth_common.web.endpoint import ANYONE, endpoint, header, success
from auth_common.web.headers import PUBLIC_FOR_FIVE_MINUTES

app = create_app()


class JWKSetResponse(JSONResponse):
    """RFC 7517 section 8.5.2."""

    media_type = "application/jwk-set+json"


@get_and_head(
    app,
    "/.well-known/jwks.json",
    response_class=JWKSetResponse,
    response_model=PublicKeySetResponse,
    responses=success(200, {"Cache-Control": header(value=PUBLIC_FOR_FIVE_MINUTES)}),
    **endpoint(access=ANYONE),
)
async def jwks() -> JWKSetResponse:
    """Return the JWK Set. Clients may cache it for 5 minutes."""
    return JWKSetResponse(public_key_set(), headers={"Cache-Control": PUBLIC_FOR_FIVE_MINUTES})


handler = create_handler(app)

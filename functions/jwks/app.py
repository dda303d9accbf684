"""GET and HEAD /.well-known/jwks.json: our public keys, for services that verify our tokens (RFC 7517 section 5)."""

from fastapi.responses import JSONResponse

from auth_common.operations.public_keys import public_key_set
from auth_common.web.application import create_app, create_handler

app = create_app()


class JWKSetResponse(JSONResponse):
    """RFC 7517 section 8.5.2."""

    media_type = "application/jwk-set+json"


@app.head("/.well-known/jwks.json", response_class=JWKSetResponse, name="head_jwks")
@app.get("/.well-known/jwks.json", response_class=JWKSetResponse)
async def jwks() -> JWKSetResponse:
    """Return the JWK Set. It is public and the same for every client, so caches may keep this response."""
    return JWKSetResponse(public_key_set(), headers={"Cache-Control": "public, max-age=300"})


handler = create_handler(app)

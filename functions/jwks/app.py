"""GET /.well-known/jwks.json: our public keys, for whoever verifies our tokens (RFC 7517 section 5)."""

from fastapi.responses import JSONResponse

from auth_common.services.public_keys import public_key_set
from auth_common.web.application import create_app, create_handler

app = create_app()


@app.get("/.well-known/jwks.json", response_class=JSONResponse)
async def jwks() -> JSONResponse:
    """Answer the JWK Set. Public and the same for everybody: the one answer of ours that caches may keep."""
    return JSONResponse(
        public_key_set(),
        media_type="application/jwk-set+json",
        headers={"Cache-Control": "public, max-age=300"},
    )


handler = create_handler(app)

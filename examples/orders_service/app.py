"""Another service of the same system, which trusts Secure Backend's access tokens.

It shares no code and no secret with Secure Backend: it has the URL of the JWK Set and a stock JWT library. Copy it.

    JWKS_URL=http://localhost:8000/.well-known/jwks.json uv run uvicorn examples.orders_service.app:app --port 9000
"""

import os
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER = "secure-backend"
AUDIENCE = "secure-backend-users"

# Keys are cached for the 5 minutes that the JWK Set allows. A token with a new key id makes the client look again, so
# a rotation needs no restart; a made-up key id does so once a second at most (30 by default, for which a new key would
# be refused), so nobody can have us hammer the issuer.
keys = jwt.PyJWKClient(os.environ["JWKS_URL"], cache_jwk_set=True, lifespan=300, timeout=5, cooldown_duration=1)
app = FastAPI()


def verify(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    """Return the claims of a valid access token, else answer 401 (RFC 9068 section 4, RFC 8725).

    503 where the issuer cannot be asked for its keys: a 401 would make every client log out.
    """
    token = credentials.credentials
    try:
        # "at+jwt" says that this is an access token. Another JWT of the same issuer (an mfa_token) is none.
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        claims: dict[str, Any] = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token).key,
            algorithms=["ES256"],  # never the algorithm that the token names
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=30,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.PyJWKClientConnectionError as error:
        raise HTTPException(503, headers={"Retry-After": "5"}) from error
    except jwt.PyJWTError as error:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}) from error
    return claims


@app.get("/orders")
def list_orders(claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Answer the caller's orders. ``sub`` is their user id; a logout reaches us when the token expires (15 minutes)."""
    return {"user_id": claims["sub"], "orders": []}

"""An example of another service, which accepts access tokens of Secure Backend. Copy this file as a start.

It shares no code with Secure Backend. It needs a standard JWT library, the issuer's URL, and an audience of its own: a
URI in the issuer's TOKEN_RESOURCES, which clients send as "resource" at a login or a refresh. To ask the issuer about a
token, it also needs a name and a secret.

    TOKEN_RESOURCES=http://localhost:9000 make run
    uv run clients add orders --audience http://localhost:9000 --introspect
    ISSUER=http://localhost:8000 CLIENT_ID=orders CLIENT_SECRET=cs_… \
        uv run uvicorn examples.orders_service.app:app --port 9000
"""

import os
from typing import Annotated, Any

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

# The URL of Secure Backend, byte for byte: a slash at its end would be another issuer.
ISSUER = os.environ["ISSUER"]
# This service. A token of the same issuer for another service is rejected.
AUDIENCE = os.environ.get("AUDIENCE", "http://localhost:9000")
JWKS_URL = os.environ.get("JWKS_URL", f"{ISSUER}/.well-known/jwks.json")

# Keys are cached for 5 minutes, as the JWK Set allows. For a token with an unknown key id, the client loads the JWK Set
# again, so a key rotation needs no restart. It does so at most once a second, so that an attacker with invented key ids
# cannot flood the issuer. With the default of 30 seconds, tokens of a new key would be rejected for that time.
keys = jwt.PyJWKClient(JWKS_URL, cache_jwk_set=True, lifespan=300, timeout=5, cooldown_duration=1)
issuer = httpx.Client(auth=(os.environ.get("CLIENT_ID", ""), os.environ.get("CLIENT_SECRET", "")), timeout=5)
app = FastAPI()

Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
INVALID_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def verify(credentials: Bearer) -> dict[str, Any]:
    """Return the claims of a user's valid access token (RFC 9068 section 4, RFC 8725).

    No request is sent, except to load the keys. After a logout, the token is accepted until it expires, at most 15
    minutes later.

    Raises:
        HTTPException: 401 if the token is not valid. 503 if the keys cannot be loaded from the issuer, because a 401
            would make every client log out.

    """
    token = credentials.credentials
    try:
        # "at+jwt" is the type of access tokens. Another JWT of the same issuer, such as an mfa_token, has another type.
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        claims: dict[str, Any] = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token).key,
            algorithms=["ES256"],  # never the algorithm in the token's header
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=30,
            # Only users have sessions. A token of a service client has no "sid".
            options={"require": ["exp", "iat", "sub", "aud", "iss", "sid"]},
        )
    except jwt.PyJWKClientConnectionError as error:
        raise HTTPException(503, headers={"Retry-After": "5"}) from error
    except jwt.PyJWTError as error:
        raise HTTPException(401, headers=INVALID_TOKEN) from error
    return claims


def introspect(credentials: Bearer, claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Return the claims of a valid access token whose session the issuer still accepts (RFC 7662).

    The issuer is asked at each request, and only about tokens that ``verify`` has accepted. So invented tokens cost it
    nothing.

    Raises:
        HTTPException: 401 if the session is revoked or the account is disabled. 503 if the issuer is unavailable.

    """
    try:
        response = issuer.post(f"{ISSUER}/introspect", data={"token": credentials.credentials})
        is_active = response.raise_for_status().json()["active"]
    except httpx.HTTPError as error:
        raise HTTPException(503, headers={"Retry-After": "5"}) from error
    if is_active is not True:
        raise HTTPException(401, headers=INVALID_TOKEN)
    return claims


@app.get("/orders")
def list_orders(claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Return the caller's orders. ``sub`` is the caller's user id.

    Offline: fast, and possible while the issuer is unavailable.
    """
    return {"user_id": claims["sub"], "orders": []}


@app.get("/payments")
def list_payments(claims: Annotated[dict[str, Any], Depends(introspect)]) -> dict[str, Any]:
    """Return the caller's payments.

    Online: a logout takes effect at once. Each request waits for the issuer, and fails without it.
    """
    return {"user_id": claims["sub"], "payments": []}

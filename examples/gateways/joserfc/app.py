"""A service that accepts access tokens of Secure Backend, with joserfc and httpx. Copy this file as a start.

It needs ``pip install fastapi httpx joserfc uvicorn``.

    ISSUER=http://localhost:8000 AUDIENCE=… CLIENT_ID=… CLIENT_SECRET=… uvicorn app:app --port 9000
"""

import os
import time
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet

ISSUER = os.environ["ISSUER"]
CLAIMS = jwt.JWTClaimsRegistry(
    leeway=30,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": os.environ["AUDIENCE"]},
    exp={"essential": True},
    sub={"essential": True},
    sid={"essential": True},  # Only users have sessions. A token of a service client has no "sid".
)
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
INVALID_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}

app = FastAPI()
http = httpx.Client(auth=(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]), timeout=5)


class Issuer:
    """The issuer's metadata and public keys, loaded at the first use.

    The keys are loaded again every 5 minutes, and for an unknown key id at most once a second.
    """

    def __init__(self) -> None:
        """Create an empty cache."""
        self._metadata: dict[str, Any] = {}
        self._keys = KeySet([])
        self._loaded_at = float("-inf")

    def key(self, signature: Any) -> Key:
        """Return the key that the header of a token names.

        Raises:
            httpx.HTTPError: the issuer is unavailable.
            InvalidKeyIdError: the issuer has no such key.

        """
        kid = signature.headers().get("kid", "")
        if not self._is_fresh(300):
            self._load_keys()
        try:
            return self._keys.get_by_kid(kid)
        except InvalidKeyIdError:
            # A key rotation needs no restart. Invented key ids must not flood the issuer.
            if self._is_fresh(1):
                raise
            self._load_keys()
            return self._keys.get_by_kid(kid)

    def url(self, member: str) -> str:
        """Return a URL of the metadata (RFC 8414).

        Raises:
            httpx.HTTPError: the issuer is unavailable.
            ValueError: the document is about another issuer.

        """
        if not self._metadata:
            metadata = http.get(f"{ISSUER}/.well-known/openid-configuration", auth=None).raise_for_status().json()
            if metadata["issuer"] != ISSUER:
                raise ValueError("the metadata is about another issuer")
            self._metadata = metadata
        url: str = self._metadata[member]
        return url

    def _is_fresh(self, seconds: int) -> bool:
        return time.monotonic() < self._loaded_at + seconds

    def _load_keys(self) -> None:
        response = http.get(self.url("jwks_uri"), auth=None)
        self._keys = KeySet.import_key_set(response.raise_for_status().json())
        self._loaded_at = time.monotonic()


issuer = Issuer()


@app.exception_handler(httpx.HTTPError)
def report_unavailable_issuer(_request: Request, _error: Exception) -> JSONResponse:
    """Return 503 if the issuer is unavailable. A 401 would make every client log out."""
    return JSONResponse({"detail": "Service Unavailable"}, 503, {"Retry-After": "5"})


def verify(credentials: Bearer) -> dict[str, Any]:
    """Return the claims of a user's valid access token. After a logout, it is accepted until it expires.

    Raises:
        HTTPException: the token is not valid.

    """
    try:
        # joserfc accepts the algorithm in this list only, and not the one that the token names.
        token = jwt.decode(credentials.credentials, issuer.key, algorithms=["ES256"])
        CLAIMS.validate(token.claims)
    except JoseError as error:
        raise HTTPException(401, headers=INVALID_TOKEN) from error
    # "at+jwt" is the type of access tokens. Other tokens of the issuer, such as an mfa_token, have another type.
    if token.header.get("typ") != "at+jwt":
        raise HTTPException(401, headers=INVALID_TOKEN)
    return token.claims


def introspect(credentials: Bearer, claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Return the claims of a valid access token whose session the issuer still accepts (RFC 7662).

    Raises:
        HTTPException: the session is revoked, or the account is disabled.

    """
    response = http.post(issuer.url("introspection_endpoint"), data={"token": credentials.credentials})
    if response.raise_for_status().json()["active"] is not True:
        raise HTTPException(401, headers=INVALID_TOKEN)
    return claims


@app.get("/orders")
def list_orders(claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Return the caller's orders."""
    return {"user_id": claims["sub"], "orders": []}


@app.get("/payments")
def list_payments(claims: Annotated[dict[str, Any], Depends(introspect)]) -> dict[str, Any]:
    """Return the caller's payments. A logout takes effect at once."""
    return {"user_id": claims["sub"], "payments": []}

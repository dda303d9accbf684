"""A service that accepts access tokens of Secure Backend, with joserfc and httpx.

pip install fastapi httpx joserfc uvicorn
ISSUER=http://localhost:8000 AUDIENCE=… uvicorn app:app --port 9000
"""

import os
import time
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet

CLAIMS = jwt.JWTClaimsRegistry(
    leeway=30,
    iss={"essential": True, "value": os.environ["ISSUER"]},
    aud={"essential": True, "value": os.environ["AUDIENCE"]},
    exp={"essential": True},
    sub={"essential": True},
)
app = FastAPI()


class Keys:
    """The issuer's public keys. They are loaded every 5 minutes, and for an unknown key id at most once a second."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._keys = KeySet([])
        self._loaded_at = float("-inf")

    def find(self, signature: Any) -> Key:
        """Return the key that the header of a token names.

        Raises:
            httpx.HTTPError: the keys cannot be loaded.
            InvalidKeyIdError: the issuer has no such key.

        """
        kid = signature.headers().get("kid", "")
        if not self._is_fresh(300):
            self._load()
        try:
            return self._keys.get_by_kid(kid)
        except InvalidKeyIdError:
            # A key rotation needs no restart. Invented key ids must not flood the issuer.
            if self._is_fresh(1):
                raise
            self._load()
            return self._keys.get_by_kid(kid)

    def _is_fresh(self, seconds: int) -> bool:
        return time.monotonic() < self._loaded_at + seconds

    def _load(self) -> None:
        response = httpx.get(os.environ["JWKS_URL"], timeout=5)
        self._keys = KeySet.import_key_set(response.raise_for_status().json())
        self._loaded_at = time.monotonic()


keys = Keys()


def verify(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    """Return the claims of a valid access token.

    Raises:
        HTTPException: 401 if the token is not valid. 503 if the issuer is unavailable, because a 401 would make every
            client log out.

    """
    try:
        # joserfc accepts the algorithm in this list only, whatever the token names.
        token = jwt.decode(credentials.credentials, keys.find, algorithms=["ES256"])
        CLAIMS.validate(token.claims)
    except httpx.HTTPError as error:
        raise HTTPException(503, headers={"Retry-After": "5"}) from error
    except (JoseError, ValueError) as error:
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}) from error
    # "at+jwt" is the type of access tokens. Other tokens of the issuer, such as an mfa_token, have another type.
    if token.header.get("typ") != "at+jwt":
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    return token.claims


@app.get("/orders")
def list_orders(claims: Annotated[dict[str, Any], Depends(verify)]) -> dict[str, Any]:
    """Return the caller's orders."""
    return {"user_id": claims["sub"], "orders": []}

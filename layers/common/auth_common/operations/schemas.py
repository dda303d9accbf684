"""The responses of GET /health and GET /.well-known/jwks.json."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class HealthResponse(BaseModel):
    """GET /health: the service can do its work."""

    status: Literal["ok"] = "ok"


class PublicKeyResponse(BaseModel):
    """The public key of a signing key (RFC 7517 section 4, RFC 7518 section 6.2.1)."""

    kty: Literal["EC"] = "EC"
    crv: Literal["P-256"] = "P-256"
    #: The coordinates, 32 bytes each, in base64url.
    x: Annotated[str, Field(examples=["<base64url>"])]
    y: Annotated[str, Field(examples=["<base64url>"])]
    use: Literal["sig"] = "sig"
    alg: Literal["ES256"] = "ES256"
    #: The thumbprint of the key (RFC 7638).
    kid: Annotated[str, Field(examples=["<base64url>"])]


class PublicKeySetResponse(BaseModel):
    """GET /.well-known/jwks.json (RFC 7517 section 5)."""

    keys: list[PublicKeyResponse]

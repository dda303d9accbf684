"""The responses of GET /health and of the documents under /.well-known/."""

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


class MetadataResponse(BaseModel):
    """GET /.well-known/openid-configuration and /.well-known/oauth-authorization-server (RFC 8414 section 3.2)."""

    #: The claim ``iss`` of access tokens, byte for byte.
    issuer: Annotated[str, Field(examples=["https://login.example.com"])]
    jwks_uri: Annotated[str, Field(examples=["https://login.example.com/.well-known/jwks.json"])]
    token_endpoint: Annotated[str, Field(examples=["https://login.example.com/token"])]
    introspection_endpoint: Annotated[str, Field(examples=["https://login.example.com/introspect"])]
    revocation_endpoint: Annotated[str, Field(examples=["https://login.example.com/revoke"])]
    #: Empty: there is no authorization endpoint.
    response_types_supported: Annotated[list[str], Field(examples=[[]])]
    grant_types_supported: list[Literal["client_credentials"]]
    token_endpoint_auth_methods_supported: Annotated[list[str], Field(examples=[["private_key_jwt"]])]
    token_endpoint_auth_signing_alg_values_supported: Annotated[list[str], Field(examples=[["ES256"]])]
    introspection_endpoint_auth_methods_supported: Annotated[list[str], Field(examples=[["private_key_jwt"]])]
    introspection_endpoint_auth_signing_alg_values_supported: Annotated[list[str], Field(examples=[["ES256"]])]
    #: The refresh token is the proof.
    revocation_endpoint_auth_methods_supported: list[Literal["none"]]


class RelatedOriginsResponse(BaseModel):
    """GET /.well-known/webauthn (WebAuthn Level 3, section 5.11)."""

    origins: Annotated[list[str], Field(examples=[["https://example.co.uk"]])]


class PasskeyEndpointsResponse(BaseModel):
    """GET /.well-known/passkey-endpoints. A page that is not set is absent."""

    enroll: Annotated[str, Field(default_factory=str, examples=["https://example.com/account"])]
    manage: Annotated[str, Field(default_factory=str, examples=["https://example.com/account"])]


class AndroidAppResponse(BaseModel):
    """An Android app, and the SHA-256 of its signing certificates in hexadecimal."""

    namespace: Literal["android_app"] = "android_app"
    package_name: Annotated[str, Field(examples=["com.example.app"])]
    sha256_cert_fingerprints: Annotated[list[str], Field(examples=[["<32 bytes in hexadecimal, with colons>"]])]


class AssetLinkResponse(BaseModel):
    """A statement of GET /.well-known/assetlinks.json (Digital Asset Links)."""

    relation: Annotated[list[str], Field(examples=[["delegate_permission/common.get_login_creds"]])]
    target: AndroidAppResponse


class IOSAppsResponse(BaseModel):
    """iOS apps, each as team id and bundle id."""

    apps: Annotated[list[str], Field(examples=[["ABCDE12345.com.example.app"]])]


class AppleAppSiteAssociationResponse(BaseModel):
    """GET /.well-known/apple-app-site-association."""

    webcredentials: IOSAppsResponse

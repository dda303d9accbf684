"""The form and the response of an introspection."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from auth_common.clients.schemas import ClientCredentials


class IntrospectionRequest(ClientCredentials):
    """The form of POST /introspect (RFC 7662 section 2.1)."""

    token: Annotated[str, Field(examples=["<header>.<claims>.<signature>"])]
    #: Any text is accepted, because servers may ignore it. The token itself shows its type.
    token_type_hint: Annotated[str | None, Field(examples=["access_token"])] = None


class IntrospectionResponse(BaseModel):
    """Whether a token is active. If it is, the response has its claims (RFC 7662 section 2.2)."""

    active: Annotated[bool, Field(examples=[True])]
    token_type: Annotated[Literal["Bearer"] | None, Field(examples=["Bearer"])] = None
    iss: Annotated[str | None, Field(examples=["https://login.example.com"])] = None
    #: Several audiences only with TOKEN_SEVERAL_AUDIENCES.
    aud: Annotated[str | list[str] | None, Field(examples=["https://orders.example.com"])] = None
    #: A user's id, or for a client ``client:`` and its name.
    sub: Annotated[str | None, Field(examples=["3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e"])] = None
    client_id: Annotated[str | None, Field(examples=["first-party"])] = None
    scope: Annotated[str | None, Field(examples=["user"])] = None
    #: Seconds since the epoch.
    iat: Annotated[int | None, Field(examples=[1_767_225_600])] = None
    nbf: Annotated[int | None, Field(examples=[1_767_225_600])] = None
    exp: Annotated[int | None, Field(examples=[1_767_226_500])] = None
    jti: Annotated[str | None, Field(examples=["047a8e42-8c16-454d-b5f5-897a1eb34cc1"])] = None
    #: Of users only: the role, the session and the login.
    role: Annotated[str | None, Field(examples=["user"])] = None
    sid: Annotated[str | None, Field(examples=["b6f1c9d4-27a3-4c0e-8d55-0f9e7c6a1b42"])] = None
    tv: Annotated[int | None, Field(examples=[0])] = None
    amr: Annotated[list[str] | None, Field(examples=[["pwd"]])] = None
    auth_time: Annotated[int | None, Field(examples=[1_767_225_600])] = None
    #: With TOKEN_PROFILE_CLAIMS.
    name: Annotated[str | None, Field(examples=[None])] = None
    email: Annotated[str | None, Field(examples=[None])] = None
    email_verified: Annotated[bool | None, Field(examples=[None])] = None

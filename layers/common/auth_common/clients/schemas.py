"""The credentials of clients in forms, and the request and the response of the token endpoint."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth_common.field_types import FormBody

_LONGEST_ASSERTION = 8 * 1024


class ClientCredentials(FormBody):
    """The parameters with which a client authenticates, unless it uses HTTP Basic."""

    client_id: Annotated[str | None, Field(max_length=64, examples=["billing"])] = None
    client_secret: Annotated[str | None, Field(max_length=100, examples=["cs_<43 characters>"])] = None
    client_assertion_type: Annotated[str | None, Field(max_length=100, examples=[None])] = None
    client_assertion: Annotated[str | None, Field(max_length=_LONGEST_ASSERTION, examples=[None])] = None


class TokenRequest(ClientCredentials):
    """The body of POST /token. A value of any length gets the error of RFC 6749 for its parameter."""

    grant_type: Annotated[str, Field(examples=["client_credentials"])]
    #: Some of the client's scopes, separated by spaces. Without it the token has all of them.
    scope: Annotated[str | None, Field(examples=["orders.read"])] = None
    #: The audience of the token (RFC 8707). It is optional for a client with one resource.
    resource: Annotated[str | None, Field(examples=["https://orders.example.com"])] = None


class TokenResponse(BaseModel):
    """A service token (RFC 6749 section 5.1), with its lifetime in seconds."""

    model_config = ConfigDict(from_attributes=True)

    access_token: Annotated[str, Field(examples=["<header>.<claims>.<signature>"])]
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: Annotated[int, Field(examples=[300])]
    #: The scopes of the token, separated by spaces. It is missing if the client has none.
    scope: Annotated[str | None, Field(examples=["orders.read"])] = None

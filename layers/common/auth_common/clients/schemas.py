"""The credentials of clients in forms, and the request and the response of the token endpoint."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth_common.clients.authentication import JWT_BEARER
from auth_common.field_types import FormBody

#: An assertion has some hundred bytes, and a token of this length is rejected unparsed.
_MAX_ASSERTION_LENGTH: Final = 8 * 1024
_REQUEST: Final[dict[str, Any]] = {
    "grant_type": "client_credentials",
    "scope": "orders.read",
    "resource": "https://orders.example.com",
}
#: Examples of both ways to authenticate in a form.
_SECRET: Final[dict[str, Any]] = {"client_id": "billing", "client_secret": "cs_<43 characters>"}
_ASSERTION: Final[dict[str, Any]] = {
    "client_assertion_type": JWT_BEARER,
    "client_assertion": "<header>.<claims>.<signature>",
}


class ClientCredentials(FormBody):
    """The parameters with which a client authenticates, unless it uses HTTP Basic."""

    client_id: Annotated[str | None, Field(max_length=64, examples=["billing"])] = None
    client_secret: Annotated[str | None, Field(max_length=100, examples=["cs_<43 characters>"])] = None
    # Without an example, because a request has either a secret or an assertion.
    client_assertion_type: Annotated[str | None, Field(max_length=100, examples=[None])] = None
    client_assertion: Annotated[str | None, Field(max_length=_MAX_ASSERTION_LENGTH, examples=[None])] = None


class TokenRequest(ClientCredentials):
    """The body of POST /token. A value of any length gets the error of RFC 6749 for its parameter."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REQUEST | _SECRET, _REQUEST | _ASSERTION]})

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

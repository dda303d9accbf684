"""The responses about sessions, and the request and response of a refresh."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from auth_common.field_types import MAX_SECRET_LENGTH, FormBody, RequestBody, Resource, Timestamp


class RefreshRequest(RequestBody):
    """The body of POST /token/refresh."""

    refresh_token: Annotated[str, Field(max_length=MAX_SECRET_LENGTH, examples=["rt_<43 characters>"])]
    #: The other service for which the new access token is. Without it, the token is for this service.
    resource: Resource = None


class TokenPairResponse(BaseModel):
    """A token pair (RFC 6749 section 5.1), with the lifetimes of both tokens in seconds."""

    model_config = ConfigDict(from_attributes=True)

    access_token: Annotated[str, Field(examples=["<header>.<claims>.<signature>"])]
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: Annotated[int, Field(examples=[900])]
    refresh_token: Annotated[str, Field(examples=["rt_<43 characters>"])]
    refresh_expires_in: Annotated[int, Field(examples=[604_800])]


class RevocationRequest(FormBody):
    """The form of POST /revoke (RFC 7009 section 2.1)."""

    token: Annotated[str, Field(examples=["rt_<43 characters>"])]
    #: Any text is accepted, because servers may ignore it. The token itself shows its type.
    token_type_hint: Annotated[str | None, Field(examples=["refresh_token"])] = None


class SessionResponse(BaseModel):
    """A session of the caller."""

    id: UUID
    #: The name of the client, from its ``User-Agent``.
    device: Annotated[str, Field(examples=["Firefox on Linux"])]
    ip: Annotated[str, Field(examples=["203.0.113.7"])]
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Annotated[Timestamp, Field(examples=["2026-03-02T09:30:00Z"])]
    #: Whether it is the session of this request.
    current: Annotated[bool, Field(examples=[True])]


class SessionListResponse(BaseModel):
    """A page of the caller's sessions."""

    items: list[SessionResponse]
    next_cursor: Annotated[str | None, Field(examples=[None])]

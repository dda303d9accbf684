"""Responses of sessions, and the request and response of a refresh."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from auth_common.field_types import LONGEST_SECRET, RequestBody, Timestamp


class RefreshRequest(RequestBody):
    """POST /token/refresh."""

    refresh_token: Annotated[str, Field(max_length=LONGEST_SECRET)]


class TokenPairResponse(BaseModel):
    """RFC 6749 section 5.1, with the refresh token's lifetime. Seconds."""

    model_config = ConfigDict(from_attributes=True)

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class SessionResponse(BaseModel):
    """A session as its owner sees it."""

    id: UUID
    #: What the client says it is, put into words.
    device: str
    ip: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    #: The session that asks.
    current: bool


class SessionListResponse(BaseModel):
    """GET /sessions."""

    items: list[SessionResponse]
    next_cursor: str | None

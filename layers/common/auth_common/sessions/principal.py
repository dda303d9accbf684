"""The caller, from the access token that the authorizer has verified."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The user and session of a verified access token. The database says whether the session is still valid."""

    user_id: UUID
    session_id: UUID
    token_version: int
    #: When the access token expires, in seconds since the epoch.
    expires_at: int

"""The caller, as the authorizer vouched for them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a verified access token speaks for. What they may do *now* is for the database to say."""

    user_id: UUID
    session_id: UUID
    token_version: int
    #: When the access token expires, seconds since the epoch.
    expires_at: int

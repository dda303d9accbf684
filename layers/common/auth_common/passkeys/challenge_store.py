"""Statements on the table of challenges."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, select

from auth_common.database.pipeline import write_later
from auth_common.database.tables import as_row, challenges


class Ceremony(StrEnum):
    """The ceremony that a challenge belongs to. The challenge is accepted in this ceremony only."""

    REGISTRATION = "registration"
    AUTHENTICATION = "authentication"
    STEP_UP = "step_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A challenge of a ceremony that has begun."""

    id: UUID
    ceremony: Ceremony
    #: The user whose passkey must respond. None for a login with a passkey alone.
    user_id: UUID | None
    token_version: int | None
    #: 32 random bytes.
    challenge: bytes
    expires_at: datetime
    #: The session that began the ceremony. None for a login.
    session_id: UUID | None = None
    #: The ids of the passkeys that the account had when a registration began, separated by spaces.
    passkey_ids: str = ""


_INSERT: Final = challenges.insert()


def insert_challenge(connection: Connection, challenge: Challenge) -> None:
    """Store a challenge."""
    write_later(connection, _INSERT, as_row(challenge))


def pop_challenge(connection: Connection, *, challenge_id: UUID, ceremony: Ceremony) -> Challenge | None:
    """Delete and return a challenge. Only one of several concurrent requests gets it.

    Return None if ``ceremony`` has no challenge with this id.
    """
    deleted = delete(challenges).where(challenges.c.id == challenge_id, challenges.c.ceremony == ceremony)
    row = connection.execute(deleted.returning(*challenges.c)).mappings().one_or_none()
    return Challenge(**{**row, "ceremony": Ceremony(row["ceremony"])}) if row else None


def delete_expired_challenges(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete at most ``limit`` challenges that expired before ``expired_before``. Return how many were deleted."""
    expired = select(challenges.c.id).where(challenges.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(challenges).where(challenges.c.id.in_(expired))).rowcount

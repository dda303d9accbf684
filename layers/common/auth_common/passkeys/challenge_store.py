"""The table of challenges."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, delete, select

from auth_common.database.tables import as_row, challenges


class Ceremony(StrEnum):
    """What a challenge is for; it is good for nothing else."""

    REGISTRATION = "registration"
    AUTHENTICATION = "authentication"
    STEP_UP = "step_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A ceremony under way."""

    id: UUID
    ceremony: Ceremony
    #: Whose; ``None`` where somebody logs in with a passkey alone.
    user_id: UUID | None
    token_version: int | None
    #: 32 random bytes.
    challenge: bytes
    expires_at: datetime
    #: The session that began it. None for a login.
    session_id: UUID | None = None
    #: The ids of the account's passkeys when a registration began, space-separated.
    passkey_ids: str = ""


def insert_challenge(connection: Connection, challenge: Challenge) -> None:
    """Store a challenge."""
    connection.execute(challenges.insert(), as_row(challenge))


def has_challenge(connection: Connection, *, challenge_id: UUID) -> bool:
    """Return whether there is a row for a challenge: for one of a login, whether it was answered."""
    found = select(challenges.c.id).where(challenges.c.id == challenge_id)
    return connection.execute(found).one_or_none() is not None


def pop_challenge(connection: Connection, *, challenge_id: UUID, ceremony: Ceremony) -> Challenge | None:
    """Delete a challenge and return it: of all who try, one gets it. ``None``: no such challenge for ``ceremony``."""
    taken = delete(challenges).where(challenges.c.id == challenge_id, challenges.c.ceremony == ceremony)
    row = connection.execute(taken.returning(*challenges.c)).mappings().one_or_none()
    return Challenge(**{**row, "ceremony": Ceremony(row["ceremony"])}) if row else None


def delete_expired_challenges(connection: Connection, expired_before: datetime, *, limit: int) -> int:
    """Delete up to ``limit`` challenges that expired before then; return how many."""
    expired = select(challenges.c.id).where(challenges.c.expires_at < expired_before).limit(limit)
    return connection.execute(delete(challenges).where(challenges.c.id.in_(expired))).rowcount

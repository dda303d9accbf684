"""Challenges of ceremonies in a session: what makes an authenticator's response fresh (WebAuthn section 13.4.3).

Those of logins are in ``login_challenges``.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from auth_common.db import challenges as store
from auth_common.db.challenges import Ceremony, Challenge
from auth_common.db.engine import transaction
from auth_common.db.users import User
from auth_common.errors import InvalidChallenge
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.passkeys import TIMEOUT
from auth_common.services.identifiers import parse_id

#: How long one may be answered: for as long as the browser is told to wait for the person.
LIFETIME: Final = timedelta(seconds=TIMEOUT)

_REFUSED: Final = {
    Ceremony.REGISTRATION: SecurityEvent.AUTHN_PASSKEY_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Begun:
    """A ceremony that has begun: what the browser gets."""

    challenge_id: str
    #: PublicKeyCredentialCreationOptionsJSON or PublicKeyCredentialRequestOptionsJSON (WebAuthn section 5.1).
    options: dict[str, Any]


def new_challenge(ceremony: Ceremony, user: User) -> Challenge:
    """Return a new challenge for ``user``, not yet stored."""
    return Challenge(
        id=uuid4(),
        ceremony=ceremony,
        user_id=user.id,
        token_version=user.token_version,
        challenge=secrets.token_bytes(32),
        expires_at=datetime.now(UTC) + LIFETIME,
    )


def spend_challenge(challenge_id: str, ceremony: Ceremony, *, user_id: UUID | None = None) -> Challenge:
    """Return the challenge for its first answer, whatever comes of it: a second answer finds nothing.

    Args:
        challenge_id: as the client sent it; anything.
        ceremony: the one that is being completed.
        user_id: whose it must be, where the caller is known.

    Raises:
        InvalidChallenge: unknown, answered before, expired, for the other ceremony, or another user's.

    """
    key = parse_id(challenge_id)
    challenge = key and transaction(lambda c: store.take_challenge(c, challenge_id=key, ceremony=ceremony))
    if not challenge or challenge.expires_at <= datetime.now(UTC) or user_id not in {None, challenge.user_id}:
        security_event(_REFUSED[ceremony], user_id=user_id, reason="invalid_challenge")
        raise InvalidChallenge
    return challenge

"""Challenges of ceremonies in a session: registrations and step-ups.

A challenge proves that an authenticator's response was made for this ceremony (WebAuthn section 13.4.3). The challenges
of logins are in ``login_challenges``.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from auth_common.errors import InvalidChallenge
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys import challenge_store as store
from auth_common.passkeys.caller_account import lock_caller
from auth_common.passkeys.challenge_store import Ceremony, Challenge
from auth_common.passkeys.verification import CEREMONY_TIMEOUT
from auth_common.sessions.principal import Principal
from auth_common.throttling.service import count_in_session
from auth_common.transactions import single_statement, transaction
from auth_common.users.store import User
from auth_common.users.uuids import parse_uuid

#: The same time that the browser gives the user for the ceremony.
CHALLENGE_LIFETIME: Final = CEREMONY_TIMEOUT

_REJECTION_EVENTS: Final = {
    Ceremony.REGISTRATION: SecurityEvent.AUTHN_PASSKEY_REJECTED,
    Ceremony.STEP_UP: SecurityEvent.AUTHN_STEP_UP_FAIL,
}


@dataclass(frozen=True, slots=True)
class StartedCeremony:
    """The response to a client that has begun a ceremony."""

    challenge_id: str
    #: PublicKeyCredentialCreationOptionsJSON or PublicKeyCredentialRequestOptionsJSON (WebAuthn section 5.1).
    options: dict[str, Any]


def new_session_challenge(ceremony: Ceremony, principal: Principal, *, passkey_ids: Iterable[UUID] = ()) -> Challenge:
    """Return a new challenge of 32 random bytes. It is not stored yet.

    Args:
        ceremony: the ceremony that begins.
        principal: the caller. Only the same session can complete the ceremony.
        passkey_ids: for a registration, the passkeys that the account has now.

    """
    return Challenge(
        id=uuid4(),
        ceremony=ceremony,
        user_id=principal.user_id,
        token_version=principal.token_version,
        challenge=secrets.token_bytes(32),
        expires_at=datetime.now(UTC) + CHALLENGE_LIFETIME,
        session_id=principal.session_id,
        passkey_ids=" ".join(str(passkey_id) for passkey_id in passkey_ids),
    )


def store_challenge(challenge: Challenge, principal: Principal) -> User:
    """Store a challenge, and return the caller's account.

    The caller's session was valid when the ceremony began. It must be valid again when the ceremony is completed.

    Raises:
        InvalidToken: the user has been erased.

    """

    def store_if_not_erased(connection: Connection) -> User:
        # The lock keeps the account from being erased before the challenge is stored.
        user = lock_caller(connection, principal)
        store.insert_challenge(connection, challenge)
        return user

    return transaction(store_if_not_erased)


def consume_session_challenge(challenge_id: str, ceremony: Ceremony, principal: Principal) -> Challenge:
    """Delete and return the challenge of a ceremony. A challenge is used up even if the ceremony fails later.

    Args:
        challenge_id: the untrusted text that the client sent.
        ceremony: the ceremony that the caller completes.
        principal: the caller.

    Raises:
        InvalidChallenge: the challenge is unknown, used, expired, or belongs to another ceremony or session.
        TooManyAttempts: the session has sent too many challenges that are not valid.

    """
    key = parse_uuid(challenge_id)
    challenge = key and single_statement(lambda c: store.pop_challenge(c, challenge_id=key, ceremony=ceremony))
    if not challenge or challenge.expires_at <= datetime.now(UTC) or not _belongs_to(challenge, principal):
        count_in_session("invalid_challenge", user_id=principal.user_id, session_id=principal.session_id)
        security_event(_REJECTION_EVENTS[ceremony], user_id=principal.user_id, reason="invalid_challenge")
        raise InvalidChallenge
    return challenge


def _belongs_to(challenge: Challenge, principal: Principal) -> bool:
    # A new token version since the ceremony began has revoked the user's access tokens. It also ends the ceremony.
    bound = (challenge.user_id, challenge.session_id, challenge.token_version)
    return bound == (principal.user_id, principal.session_id, principal.token_version)

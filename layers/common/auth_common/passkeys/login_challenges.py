"""Challenges of logins with a passkey. Each is protected by a MAC, and its id is stored when it is used.

Anyone may begin a login. A challenge without a row needs no rate limit: an attacker cannot fill the table, and cannot
use up a limit that would stop other users of the same client IP. The ``challenge_id`` contains the challenge and its
MAC. The first response stores the id until the challenge expires, so a second response is rejected.
"""

import hmac
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError

from auth_common.errors import InvalidChallenge
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.keyed_hashes import challenge_mac
from auth_common.passkeys.challenge_store import Ceremony, Challenge, insert_challenge
from auth_common.passkeys.session_challenges import CHALLENGE_LIFETIME
from auth_common.passkeys.store import LoginRecords
from auth_common.transactions import single_statement
from auth_common.users.store import User

#: Id, user id (zeros for no user), token version, expiry in microseconds since the epoch, challenge.
_LAYOUT: Final = struct.Struct(">16s16sIQ32s")
_NO_USER: Final = UUID(int=0)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def issue_login_challenge(user: User | None) -> tuple[str, bytes]:
    """Return a new ``challenge_id`` and its challenge of 32 random bytes.

    Args:
        user: the user whose passkey must respond, if the password was checked. None for a login with a passkey alone.

    """
    challenge = secrets.token_bytes(32)
    expires_at = datetime.now(UTC) + CHALLENGE_LIFETIME
    content = _LAYOUT.pack(
        uuid4().bytes,
        (user.id if user else _NO_USER).bytes,
        user.token_version if user else 0,
        (expires_at - _EPOCH) // _MICROSECOND,
        challenge,
    )
    return _encode(challenge_mac(content) + content), challenge


def read_login_challenge(challenge_id: str) -> Challenge | None:
    """Return the challenge in a ``challenge_id``. Return None if this service did not issue it, or if it has expired.

    Args:
        challenge_id: the untrusted text that the client sent.

    """
    try:
        octets = urlsafe_b64decode(challenge_id + "=" * (-len(challenge_id) % 4))
    except ValueError:
        return None
    # The decoder ignores foreign characters and surplus padding. Only the spelling that was issued is accepted.
    if _encode(octets) != challenge_id:
        return None
    content = octets[-_LAYOUT.size :]
    if not hmac.compare_digest(challenge_mac(content) + content, octets):
        return None
    key, user, token_version, expiry, challenge = _LAYOUT.unpack(content)
    user_id = UUID(bytes=user)
    expires_at = _EPOCH + expiry * _MICROSECOND
    if expires_at <= datetime.now(UTC):
        return None
    return Challenge(
        id=UUID(bytes=key),
        ceremony=Ceremony.AUTHENTICATION,
        user_id=None if user_id == _NO_USER else user_id,
        token_version=None if user_id == _NO_USER else token_version,
        challenge=challenge,
        expires_at=expires_at,
    )


def second_factor_user(challenge: Challenge | None, records: LoginRecords) -> UUID | None:
    """Return the user whose second factor a response to ``challenge`` can prove.

    Return None if the challenge has no user, was used before, or has an old token version. A response to such a
    challenge cannot succeed. It must not count as a failure of the user's second factor. Otherwise an attacker with an
    old challenge could lock the user out.

    Args:
        challenge: from ``read_login_challenge``.
        records: what the database has about the response.

    """
    if challenge is None or records.is_challenge_used or records.token_version != challenge.token_version:
        return None
    return challenge.user_id


def consume_login_challenge(challenge: Challenge | None) -> Challenge:
    """Mark ``challenge`` as used and return it. A challenge is used up even if the login fails later.

    Raises:
        InvalidChallenge: ``challenge`` is None, or was used before.

    """
    if challenge is None or not _store_as_used(challenge):
        user_id = challenge.user_id if challenge else None
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user_id, reason="invalid_challenge")
        raise InvalidChallenge
    return challenge


def _encode(octets: bytes) -> str:
    """Return ``octets`` in base64url without padding (RFC 4648 section 5)."""
    return urlsafe_b64encode(octets).decode().rstrip("=")


def _store_as_used(challenge: Challenge) -> bool:
    """Store the challenge's id. Return False if it is stored already, also by a concurrent request."""
    # Stored without the user, because the account may have been erased since the challenge was issued.
    used = replace(challenge, user_id=None, token_version=None)
    try:
        single_statement(lambda connection: insert_challenge(connection, used))
    except IntegrityError:
        return False
    return True

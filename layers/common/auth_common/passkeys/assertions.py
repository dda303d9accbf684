"""Proofs by passkey: an assertion is verified, judged against the stored record, and recorded.

A login and a step-up share this module. Which passkeys a response is compared with, and which events a rejection
causes, is decided by the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from auth_common.errors import PasswordRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys.challenge_store import Challenge
from auth_common.passkeys.store import Passkey, record_use, select_passkey, select_passkey_and_owner
from auth_common.passkeys.verification import (
    InvalidPasskeyResponse,
    PasskeyAssertion,
    read_claimed_identity,
    verify_authentication,
)
from auth_common.transactions import read
from auth_common.users.store import User

#: Characters of a verification error that a security event keeps.
_MAX_FAULT: Final = 200


class AssertionRejected(Exception):
    """The response proves nothing. ``reason`` and ``detail`` are for a security event, never for the client."""

    def __init__(self, reason: str, user: User | None = None, **detail: str) -> None:
        """Keep the reason, the passkey's owner if there is one, and further fields of the event."""
        super().__init__(reason)
        self.reason = reason
        self.user = user
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PasskeyProof:
    """A verified assertion, the stored passkey that signed it, and the passkey's owner."""

    passkey: Passkey
    user: User
    assertion: PasskeyAssertion

    @property
    def key_method(self) -> str:
        """Return the ``amr`` value of the key: ``swk`` if it may leave its device, else ``hwk`` (RFC 8176)."""
        return "swk" if self.assertion.backup_eligible else "hwk"


def verify_assertion(
    challenge: Challenge, credential: Mapping[str, Any], *, require_user_verification: bool
) -> PasskeyProof:
    """Return the proof that ``credential`` is (WebAuthn section 7.2).

    Args:
        challenge: the one that was answered. If it has a user, only that user's passkeys are accepted.
        credential: AuthenticationResponseJSON; anything.
        require_user_verification: whether the authenticator must have checked a PIN or a biometric.

    Raises:
        AssertionRejected: the passkey is unknown, belongs to another user, or a rule of WebAuthn is broken.

    """
    try:
        credential_id, user_handle = read_claimed_identity(credential)
    except InvalidPasskeyResponse as error:
        raise _invalid(None, error) from error
    found = read(lambda connection: select_passkey_and_owner(connection, credential_id=credential_id))
    if found is None:
        raise AssertionRejected("unknown_passkey")
    passkey, user = found
    _require_owner(challenge, user, user_handle)
    try:
        assertion = verify_authentication(
            credential,
            expected_challenge=challenge.challenge,
            public_key=passkey.public_key,
            require_user_verification=require_user_verification,
        )
    except InvalidPasskeyResponse as error:
        raise _invalid(user, error) from error
    return PasskeyProof(passkey, user, assertion)


def record_assertion(connection: Connection, proof: PasskeyProof, *, with_password: bool) -> bool:
    """Store the counter and the flags of ``proof`` if they are acceptable after the stored ones.

    Return False if the passkey has been deleted since ``verify_assertion``. Call this function in the transaction of
    the change that the proof allows. Then the second of two responses with one counter is compared with the first.

    A synced passkey may be used by several programs, and they need not agree on a counter or on the backup flags. An
    inconsistency is "a signal, but not proof" of a copy (WebAuthn section 7.2, step 22). Together with the password
    such a passkey is accepted, with a security event, and the new values are stored. Alone it is not.

    Args:
        connection: to write with.
        proof: from ``verify_assertion``.
        with_password: whether the same login or step-up has also proved the password.

    Raises:
        AssertionRejected: the counter of a passkey that is bound to one device did not advance.
        PasswordRequired: a synced passkey is inconsistent and the only factor.

    """
    passkey, assertion = proof.passkey, proof.assertion
    # A user verification that is seen for the first time needs the password beside it (section 4, uvInitialized).
    uv_initialized = passkey.uv_initialized or (with_password and assertion.user_verified)

    def record(*, if_consistent: bool) -> bool:
        return record_use(
            connection,
            passkey_id=passkey.id,
            sign_count=assertion.sign_count,
            uv_initialized=uv_initialized,
            backup_eligible=assertion.backup_eligible,
            backed_up=assertion.backed_up,
            now=datetime.now(UTC),
            if_consistent=if_consistent,
        )

    if record(if_consistent=True):
        return True
    stored = select_passkey(connection, passkey_id=passkey.id)
    if stored is None:
        return False
    is_synced = stored.backup_eligible or assertion.backup_eligible
    if not is_synced:
        raise AssertionRejected("sign_count_not_advanced", proof.user)
    has_changed = stored.backup_eligible != assertion.backup_eligible
    security_event(
        SecurityEvent.AUTHN_PASSKEY_INCONSISTENT,
        user_id=proof.user.id,
        reason="backup_eligibility_changed" if has_changed else "sign_count_not_advanced",
        passkey_id=str(passkey.id),
        accepted="yes" if with_password else "no",
    )
    if not with_password:
        raise PasswordRequired
    return record(if_consistent=False)


def _require_owner(challenge: Challenge, user: User, user_handle: bytes | None) -> None:
    """Accept only the passkey of the right user (WebAuthn section 7.2, steps 5 and 6)."""
    if challenge.user_id is None:
        is_owner = user_handle == user.id.bytes
    else:
        is_owner = challenge.user_id == user.id and user_handle in {None, user.id.bytes}
        # A change that has revoked all of the user's tokens since the challenge was issued revokes the challenge too.
        if is_owner and challenge.token_version != user.token_version:
            raise AssertionRejected("token_version_changed", user)
    if not is_owner:
        target = {"target": str(challenge.user_id)} if challenge.user_id else {}
        raise AssertionRejected("passkey_of_another_user", user, **target)


def _invalid(user: User | None, error: InvalidPasskeyResponse) -> AssertionRejected:
    return AssertionRejected("not_valid", user, fault=str(error)[:_MAX_FAULT])

"""Verify an assertion with the stored passkey, and record its counter and flags (WebAuthn section 7.2).

The login with a passkey and the step-up share this module. Each decides which security event a rejection causes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection

from auth_common.errors import PasswordRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys.challenge_store import Challenge
from auth_common.passkeys.store import OwnedPasskey, Passkey, record_use, select_passkey
from auth_common.passkeys.verification import (
    InvalidPasskeyResponse,
    PasskeyAssertion,
    read_claimed_identity,
    verify_authentication,
)
from auth_common.users.store import User

#: The number of characters of a verification error that a security event contains.
_MAX_FAULT_LENGTH: Final = 200


class AssertionRejected(Exception):
    """The assertion is rejected. ``reason`` and ``detail`` are for a security event, never for the client."""

    def __init__(self, reason: str, user: User | None = None, **detail: str) -> None:
        """Store the reason, the passkey's user if the passkey is known, and further fields of the security event."""
        super().__init__(reason)
        self.reason = reason
        self.user = user
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PasskeyProof:
    """A verified assertion, the stored passkey that signed it, and the passkey's user."""

    passkey: Passkey
    user: User
    assertion: PasskeyAssertion

    @property
    def key_method(self) -> str:
        """Return the ``amr`` value of the key: ``swk`` if the key can be synced, else ``hwk`` (RFC 8176)."""
        return "swk" if self.assertion.backup_eligible else "hwk"


def claimed_credential_id(credential: Mapping[str, Any]) -> bytes | None:
    """Return the credential id that the client's JSON object claims. Return None if it is not valid."""
    try:
        credential_id, _ = read_claimed_identity(credential)
    except InvalidPasskeyResponse:
        return None
    return credential_id


def verify_assertion(
    challenge: Challenge,
    credential: Mapping[str, Any],
    named: OwnedPasskey | None,
    *,
    require_user_verification: bool,
) -> PasskeyProof:
    """Verify an assertion and return it with its passkey and user (WebAuthn section 7.2).

    Args:
        challenge: the challenge of the ceremony. If it has a user, only that user's passkeys are accepted.
        credential: the untrusted JSON object that the client sent, an AuthenticationResponseJSON.
        named: the stored passkey with the id of ``claimed_credential_id``. None if there is none.
        require_user_verification: whether the authenticator must have checked a PIN or a biometric.

    Raises:
        AssertionRejected: the passkey is unknown or belongs to another user, or the response breaks a rule of WebAuthn.

    """
    try:
        _, user_handle = read_claimed_identity(credential)
    except InvalidPasskeyResponse as error:
        raise _invalid(None, error) from error
    if named is None:
        raise AssertionRejected("unknown_passkey")
    passkey, user = named.passkey, named.user
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
    """Store the counter and the flags of ``proof`` with its passkey, unless they are rejected as inconsistent.

    Return False if the passkey has been deleted since ``verify_assertion``. Call this function in the transaction of
    the change that the proof allows. Then the second of two responses with one counter is compared with the first.

    Several programs may use a synced passkey and disagree on its counter or backup flags. An inconsistency is "a
    signal, but not proof" of a cloned authenticator (WebAuthn section 7.2, step 22). With the password, an inconsistent
    synced passkey is accepted, a security event is written, and the new values are stored. Without the password, the
    passkey is rejected.

    Args:
        connection: a connection in the transaction of the change.
        proof: the return value of ``verify_assertion``.
        with_password: whether the same login or step-up has also proved the password.

    Raises:
        AssertionRejected: the counter of a passkey that is bound to one device did not advance.
        PasswordRequired: a synced passkey is inconsistent, and it is the only factor.

    """
    passkey, assertion = proof.passkey, proof.assertion
    # The first user verification of a passkey counts only together with the password (section 4, uvInitialized).
    uv_initialized = passkey.uv_initialized or (with_password and assertion.user_verified)

    def record(*, if_consistent: bool) -> bool:
        return record_use(
            connection,
            passkey_id=passkey.id,
            user_id=proof.user.id,
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
    """Require a passkey of the challenge's user, or of the user handle's user (WebAuthn section 7.2, steps 5 and 6)."""
    if challenge.user_id is None:
        is_owner = user_handle == user.id.bytes
    else:
        is_owner = challenge.user_id == user.id and user_handle in {None, user.id.bytes}
        # A new token version since the challenge was issued has revoked the user's tokens, and so the challenge too.
        if is_owner and challenge.token_version != user.token_version:
            raise AssertionRejected("token_version_changed", user)
    if not is_owner:
        target = {"target": str(challenge.user_id)} if challenge.user_id else {}
        raise AssertionRejected("passkey_of_another_user", user, **target)


def _invalid(user: User | None, error: InvalidPasskeyResponse) -> AssertionRejected:
    return AssertionRejected("not_valid", user, fault=str(error)[:_MAX_FAULT_LENGTH])

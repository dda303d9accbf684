"""Step-up: a logged-in user proves their identity again and gets a step-up token. See docs/decisions/0018."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection

from auth_common.errors import (
    InvalidCurrentPassword,
    PasswordRequired,
    StepUpFailed,
    StepUpPasswordRequired,
)
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys.assertions import (
    AssertionRejected,
    PasskeyProof,
    claimed_credential_id,
    record_assertion,
    verify_assertion,
)
from auth_common.passkeys.caller_account import require_valid_session_with_passkeys
from auth_common.passkeys.challenge_store import Ceremony
from auth_common.passkeys.session_challenges import consume_session_challenge, new_session_challenge, store_challenge
from auth_common.passkeys.store import OwnedPasskey, StepUpRecords, select_step_up_records
from auth_common.passkeys.verification import authentication_options
from auth_common.passwords.hashing import verify_password
from auth_common.sessions.caller_checks import rejected_caller, require_valid_caller_state, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.sessions.proof_counter import CountedProof, counted_proof
from auth_common.sessions.step_up_tokens import STEP_UP_TOKEN_LIFETIME, hash_step_up_token, new_step_up_token
from auth_common.sessions.store import grant_step_up
from auth_common.throttling.service import count_in_session
from auth_common.transactions import read, transaction
from auth_common.users.store import lock_user

Method = Literal["webauthn", "password"]


@dataclass(frozen=True, slots=True)
class StepUpMethods:
    """How the caller can prove their identity. If the account has passkeys, there is a challenge for them."""

    methods: tuple[Method, ...]
    challenge_id: str | None = None
    #: PublicKeyCredentialRequestOptionsJSON (WebAuthn section 5.1).
    options: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StepUp:
    """The step-up token, and its lifetime in seconds."""

    step_up_token: str
    expires_in: int = int(STEP_UP_TOKEN_LIFETIME.total_seconds())


def begin_step_up(principal: Principal) -> StepUpMethods:
    """Return how the caller can prove their identity.

    Raises:
        InvalidToken: the caller's session is not valid.
        TooManyAttempts: the session has begun too many step-ups with a passkey.

    """
    _, passkeys = read(lambda connection: require_valid_session_with_passkeys(connection, principal))
    if not passkeys:
        return StepUpMethods(("password",))
    count_in_session("step_up_challenge", user_id=principal.user_id, session_id=principal.session_id)
    challenge = new_session_challenge(Ceremony.STEP_UP, principal)
    store_challenge(challenge, principal)
    options = authentication_options(
        challenge=challenge.challenge,
        allowed=[(passkey.credential_id, passkey.transports) for passkey in passkeys],
        require_user_verification=False,
    )
    return StepUpMethods(("webauthn", "password"), str(challenge.id), options)


def complete_step_up(
    principal: Principal,
    *,
    current_password: str | None,
    challenge_id: str | None,
    credential: Mapping[str, Any] | None,
) -> StepUp:
    """Check a proof of identity, and return a step-up token that replaces the session's earlier one.

    A passkey alone is enough if it verified the user and may log in alone. Otherwise the password must come with it.

    Args:
        principal: the caller.
        current_password: the password, as the user typed it.
        challenge_id: from ``begin_step_up``, as the client sent it.
        credential: AuthenticationResponseJSON, as the client sent it.

    Raises:
        InvalidToken: the caller's session is not valid.
        InvalidChallenge: the challenge is of another session or ceremony, or was used before, or has expired.
        InvalidCurrentPassword: the password is wrong. The fifth wrong proof of any kind revokes the session.
        StepUpFailed: the response of the passkey is not valid.
        StepUpPasswordRequired: the response of the passkey is valid, but not enough without the password.
        TooManyAttempts: too many proofs of this session are being checked, or it has sent too many challenges that are
            not valid.

    """
    records = _read_records(principal, credential)
    with counted_proof(principal) as counted:
        try:
            proof = _verify_passkey(principal, challenge_id, credential, records.named)
            if current_password is None and not _is_full_proof(proof):
                counted.reject(SecurityEvent.AUTHN_STEP_UP_FAIL, reason="passkey_not_enough")
                raise StepUpPasswordRequired
            if current_password is not None and not verify_password(current_password, records.password_hash):
                counted.reject(SecurityEvent.AUTHN_STEP_UP_FAIL, reason="wrong_password")
                raise InvalidCurrentPassword
            return _grant(principal, counted, proof, with_password=current_password is not None)
        except AssertionRejected as error:
            counted.reject(SecurityEvent.AUTHN_STEP_UP_FAIL, reason=error.reason, **error.detail)
            raise StepUpFailed from error
        except PasswordRequired as error:
            # Not counted as a wrong proof, because the response is genuine and no guess.
            security_event(
                SecurityEvent.AUTHN_STEP_UP_FAIL,
                user_id=principal.user_id,
                reason="passkey_inconsistent",
                session_id=str(principal.session_id),
            )
            raise StepUpPasswordRequired from error


def _read_records(principal: Principal, credential: Mapping[str, Any] | None) -> StepUpRecords:
    """Return what the database has about a proof, read in one round trip, if the caller's session is valid."""
    credential_id = claimed_credential_id(credential) if credential is not None else None

    def select(connection: Connection) -> StepUpRecords:
        records = select_step_up_records(
            connection,
            session_id=principal.session_id,
            user_id=principal.user_id,
            credential_id=credential_id,
        )
        if records is None:
            raise rejected_caller(principal)
        require_valid_caller_state(principal, records.state)
        return records

    return read(select)


def _verify_passkey(
    principal: Principal,
    challenge_id: str | None,
    credential: Mapping[str, Any] | None,
    named: OwnedPasskey | None,
) -> PasskeyProof | None:
    if challenge_id is None or credential is None:
        return None
    # Before the password is checked: an expired challenge is not counted, so it must not show whether a guess is right.
    challenge = consume_session_challenge(challenge_id, Ceremony.STEP_UP, principal)
    return verify_assertion(challenge, credential, named, require_user_verification=False)


def _is_full_proof(proof: PasskeyProof | None) -> bool:
    """Return whether the passkey verified the user and may log in alone (WebAuthn section 4, uvInitialized)."""
    return proof is not None and proof.assertion.user_verified and proof.passkey.uv_initialized


def _grant(principal: Principal, counted: CountedProof, proof: PasskeyProof | None, *, with_password: bool) -> StepUp:
    step_up = StepUp(new_step_up_token())
    amr = [*(["pwd"] if with_password else []), *([proof.key_method, "user", "mfa"] if proof else [])]

    def grant(connection: Connection) -> None:
        # The lock: a concurrent change of the password or passkeys either comes later and deletes this token, or has
        # come first and revoked the access token of this request.
        lock_user(connection, user_id=principal.user_id)
        require_valid_session(connection, principal)
        if proof and not record_assertion(connection, proof, with_password=with_password):
            raise AssertionRejected("unknown_passkey", proof.user)
        grant_step_up(
            connection,
            session_id=principal.session_id,
            token_hash=hash_step_up_token(step_up.step_up_token),
            amr=" ".join(amr),
            expires_at=datetime.now(UTC) + STEP_UP_TOKEN_LIFETIME,
            pending_proofs=counted.pending_proofs,
        )
        security_event(
            SecurityEvent.AUTHN_STEP_UP_SUCCESS,
            user_id=principal.user_id,
            amr=amr,
            session_id=str(principal.session_id),
            passkey_id=str(proof.passkey.id) if proof else None,
        )

    transaction(grant)
    return step_up

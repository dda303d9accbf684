"""Login with a passkey: as second factor after a password, or alone (WebAuthn's authentication ceremony)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from auth_common.errors import InvalidMFAToken, PasskeyLoginFailed, PasswordRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passkeys.assertions import AssertionRejected, PasskeyProof, record_assertion, verify_assertion
from auth_common.passkeys.challenge_store import Challenge
from auth_common.passkeys.login_challenges import (
    consume_login_challenge,
    issue_login_challenge,
    read_login_challenge,
    second_factor_user,
)
from auth_common.passkeys.session_challenges import StartedCeremony
from auth_common.passkeys.store import select_passkeys_of
from auth_common.passkeys.verification import authentication_options
from auth_common.sessions.service import is_unchanged, new_session, store_session
from auth_common.sessions.token_pairs import TokenPair
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.service import count_rejected_mfa_token, passkey_attempt, require_second_factor_unlocked
from auth_common.tokens.mfa_tokens import verify_mfa_token
from auth_common.transactions import read, transaction
from auth_common.users.store import User, select_user


def begin_login(mfa_token: str | None) -> StartedCeremony:
    """Begin a login.

    Args:
        mfa_token: from a login with the right password; without it the passkey alone must say and prove who it is,
            which takes user verification (PIN or biometry).

    Raises:
        InvalidMFAToken: not one of ours, expired, or overtaken by a change of the account.
        TooManyAttempts: too many of those from one client IP, or too many failures with this user's second factors.

    """
    user = _user_of(mfa_token) if mfa_token is not None else None
    passkeys = read(lambda c: select_passkeys_of(c, user_id=user.id)) if user else []
    challenge_id, challenge = issue_login_challenge(user)
    options = authentication_options(
        challenge=challenge,
        allowed=[(passkey.credential_id, passkey.transports) for passkey in passkeys],
        require_user_verification=user is None,
    )
    return StartedCeremony(challenge_id, options)


def complete_login(*, challenge_id: str, credential: Mapping[str, Any]) -> TokenPair:
    """Verify the authenticator's answer and open a session.

    Args:
        challenge_id: from ``begin_login``.
        credential: AuthenticationResponseJSON; anything.

    Raises:
        InvalidChallenge: unknown, answered, expired, or not for a login.
        PasswordRequired: a synced passkey whose counter or backup eligibility does not fit its record, as only factor.
        PasskeyLoginFailed: for everything else that can be wrong.
        TooManyAttempts: too many failures with this user's second factors, or of passkeys alone from one client IP.

    """
    challenge = read_login_challenge(challenge_id)
    with passkey_attempt(second_factor_user(challenge)) as attempt:
        return _complete_login(attempt, consume_login_challenge(challenge), credential)


def _complete_login(attempt: Attempt, challenge: Challenge, credential: Mapping[str, Any]) -> TokenPair:
    with_password = challenge.user_id is not None
    try:
        # Alone, a passkey must be two factors by itself: possession, and PIN or biometric.
        proof = verify_assertion(challenge, credential, require_user_verification=not with_password)
        return _open_session(attempt, proof, with_password=with_password)
    except AssertionRejected as error:
        raise _rejected(error.user, error.reason, **error.detail) from error


def _open_session(attempt: Attempt, proof: PasskeyProof, *, with_password: bool) -> TokenPair:
    user = proof.user
    if user.status != "active":
        raise AssertionRejected("user_not_active", user)
    if not with_password and not proof.passkey.uv_initialized:
        # Registered without PIN or biometric: an attacker who found the key may have set this PIN (section 4,
        # uvInitialized).
        raise AssertionRejected("user_verification_not_initialized", user)

    amr = (*(("pwd",) if with_password else ()), proof.key_method, "user", "mfa")
    new = new_session(user, amr=amr, passkey_id=proof.passkey.id)

    # One transaction: deleting this passkey revokes the sessions that it has opened, and this one too.
    def open_session(connection: Connection) -> None:
        if not is_unchanged(connection, user):
            raise AssertionRejected("token_version_changed", user)
        if not record_assertion(connection, proof, with_password=with_password):
            raise AssertionRejected("unknown_passkey", user)
        attempt.succeed(connection)
        store_session(connection, new)

    try:
        transaction(open_session)
    except PasswordRequired:
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id, reason="passkey_inconsistent")
        raise
    return new.tokens


def _user_of(mfa_token: str) -> User:
    try:
        claims = verify_mfa_token(mfa_token)
    except InvalidMFAToken as error:
        count_rejected_mfa_token(None)
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, reason=error.code)
        raise
    require_second_factor_unlocked(claims.user_id)
    user = read(lambda connection: select_user(connection, user_id=claims.user_id))
    if user is None or user.token_version != claims.token_version:
        count_rejected_mfa_token(claims.user_id)
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, user_id=claims.user_id, reason="token_version_changed")
        raise InvalidMFAToken
    return user


def _rejected(user: User | None, reason: str, **detail: str) -> PasskeyLoginFailed:
    security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id if user else None, reason=reason, **detail)
    return PasskeyLoginFailed()

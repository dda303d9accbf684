"""Login with a passkey: as second factor after a password, or alone (WebAuthn's authentication ceremony)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from auth_common.db.challenges import Ceremony, Challenge
from auth_common.db.engine import read
from auth_common.db.passkeys import Passkey, record_use, select_passkey_and_owner, select_passkeys_of
from auth_common.db.users import User, select_user
from auth_common.errors import InvalidMFAToken, PasskeyLoginFailed
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.mfa_tokens import verify_mfa_token
from auth_common.security.passkeys import (
    InvalidPasskeyResponse,
    PasskeyAssertion,
    authentication_options,
    identify,
    verify_authentication,
)
from auth_common.services.attempts import Attempt
from auth_common.services.challenges import Begun, issue_challenge, spend_challenge
from auth_common.services.sessions import is_unchanged, open_session
from auth_common.services.throttling import (
    count_challenge,
    count_rejected_mfa_token,
    passkey_attempt,
    require_second_factor_unlocked,
)
from auth_common.services.token_pairs import TokenPair


def begin_login(mfa_token: str | None) -> Begun:
    """Begin a login.

    Args:
        mfa_token: from a login with the right password; without it the passkey alone must say and prove who it is,
            which takes user verification (PIN or biometry).

    Raises:
        InvalidMFAToken: not one of ours, expired, or overtaken by a change of the account.
        TooManyAttempts: too many of those, or of logins begun, from one source, or too many failures with this user's
            second factors.

    """
    user = _user_of(mfa_token) if mfa_token is not None else None
    passkeys = read(lambda c: select_passkeys_of(c, user_id=user.id)) if user else []
    count_challenge()  # a row that anybody may ask for; a token that was refused has left none, and its own count
    challenge = issue_challenge(Ceremony.AUTHENTICATION, user)
    options = authentication_options(
        challenge=challenge.challenge,
        allowed=[(passkey.credential_id, passkey.transports) for passkey in passkeys],
        require_user_verification=user is None,
    )
    return Begun(challenge.id, options)


def complete_login(*, challenge_id: str, credential: Mapping[str, Any]) -> TokenPair:
    """Verify the authenticator's answer and open a session.

    Args:
        challenge_id: from ``begin_login``.
        credential: AuthenticationResponseJSON; anything.

    Raises:
        InvalidChallenge: unknown, answered, expired, or not for a login.
        PasskeyLoginFailed: for everything else that can be wrong.
        TooManyAttempts: too many failures from one source, or with this user's second factors.

    """
    with passkey_attempt() as attempt:
        return _complete_login(attempt, challenge_id, credential)


def _complete_login(attempt: Attempt, challenge_id: str, credential: Mapping[str, Any]) -> TokenPair:
    challenge = spend_challenge(challenge_id, Ceremony.AUTHENTICATION)
    if challenge.user_id is not None:
        attempt.count_second_factor(challenge.user_id)
    passkey, user, user_handle = _identify(credential)
    _require_owner(challenge, user, user_handle)
    assertion = _verify(challenge, passkey, user, credential)
    if user.status != "active":
        raise _refused(user, "user_not_active")
    if challenge.user_id is None and not passkey.uv_initialized:
        # Registered without PIN or biometry: whoever found the key may have set this PIN (section 4, uvInitialized).
        raise _refused(user, "user_verification_not_initialized")
    amr = (*(("pwd",) if challenge.user_id else ()), "swk" if passkey.backup_eligible else "hwk", "user", "mfa")

    # In one transaction with the session: who deletes this passkey ends the sessions that it has opened, this one too.
    def confirm(connection: Connection) -> bool:
        if not is_unchanged(connection, user):
            raise _refused(user, "token_version_changed")
        return _record_use(connection, challenge, passkey, assertion) and attempt.succeed(connection)

    pair = open_session(user, amr=amr, passkey_id=passkey.id, confirm=confirm)
    if pair is None:
        # Two answers at once with one counter: one of the two authenticators is a copy (WebAuthn section 6.1.1). Or the
        # passkey has just been deleted.
        raise _refused(user, "sign_count_not_advanced")
    return pair


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


def _identify(credential: Mapping[str, Any]) -> tuple[Passkey, User, bytes | None]:
    """Return the passkey that this answer claims to be of, its owner, and the user handle that the answer gives."""
    try:
        credential_id, user_handle = identify(credential)
    except InvalidPasskeyResponse as error:
        raise _not_valid(None, error) from error
    found = read(lambda connection: select_passkey_and_owner(connection, credential_id=credential_id))
    if found is None:
        raise _refused(None, "unknown_passkey")
    return *found, user_handle


def _require_owner(challenge: Challenge, user: User, user_handle: bytes | None) -> None:
    """Let only the passkey of the right person count (WebAuthn section 7.2, steps 5 and 6)."""
    if challenge.user_id is None:
        is_owner = user_handle == user.id.bytes
    else:
        is_owner = challenge.user_id == user.id and user_handle in {None, user.id.bytes}
        # What ended all of the user's tokens since the password was given has ended this login too.
        if is_owner and challenge.token_version != user.token_version:
            raise _refused(user, "token_version_changed")
    if not is_owner:
        whose = {"target": str(challenge.user_id)} if challenge.user_id else {}
        raise _refused(user, "passkey_of_another_user", **whose)


def _verify(challenge: Challenge, passkey: Passkey, user: User, credential: Mapping[str, Any]) -> PasskeyAssertion:
    try:
        return verify_authentication(
            credential,
            expected_challenge=challenge.challenge,
            public_key=passkey.public_key,
            sign_count=passkey.sign_count,
            backup_eligible=passkey.backup_eligible,
            # Alone, a passkey must be two factors by itself: possession, and PIN or biometry.
            require_user_verification=challenge.user_id is None,
        )
    except InvalidPasskeyResponse as error:
        raise _not_valid(user, error) from error


def _record_use(connection: Connection, challenge: Challenge, passkey: Passkey, assertion: PasskeyAssertion) -> bool:
    # The password vouches for a user verification that is seen for the first time; the key alone cannot.
    vouched_for = challenge.user_id is not None and assertion.user_verified
    return record_use(
        connection,
        passkey_id=passkey.id,
        sign_count=assertion.sign_count,
        uv_initialized=passkey.uv_initialized or vouched_for,
        backed_up=assertion.backed_up,
        now=datetime.now(UTC),
    )


def _not_valid(user: User | None, error: InvalidPasskeyResponse) -> PasskeyLoginFailed:
    return _refused(user, "not_valid", fault=str(error)[:200])


def _refused(user: User | None, reason: str, **detail: str) -> PasskeyLoginFailed:
    security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id if user else None, reason=reason, **detail)
    return PasskeyLoginFailed()

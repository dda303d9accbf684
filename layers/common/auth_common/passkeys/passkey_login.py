"""Login with a passkey, alone or as second factor after a password (the authentication ceremony of WebAuthn)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from auth_common.errors import InvalidMFAToken, PasskeyLoginFailed, PasswordRequired
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.notices.account_notices import receives_notices
from auth_common.notices.login_notices import queue_new_login_notice
from auth_common.passkeys.assertions import (
    AssertionRejected,
    PasskeyProof,
    claimed_credential_id,
    record_assertion,
    verify_assertion,
)
from auth_common.passkeys.challenge_store import Challenge
from auth_common.passkeys.login_challenges import (
    consume_login_challenge,
    issue_login_challenge,
    read_login_challenge,
    second_factor_user,
)
from auth_common.passkeys.session_challenges import StartedCeremony
from auth_common.passkeys.store import (
    LoginRecords,
    Passkey,
    select_login_records,
    select_user_and_passkeys,
)
from auth_common.passkeys.verification import authentication_options
from auth_common.sessions.principal import Principal
from auth_common.sessions.service import is_user_unchanged, new_session, store_session
from auth_common.sessions.token_pairs import TokenPair
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.known_clients import find_known_clients, is_new_client
from auth_common.throttling.service import count_rejected_mfa_token, passkey_attempt, require_second_factor_unlocked
from auth_common.tokens.access_tokens import require_resource
from auth_common.tokens.mfa_tokens import verify_mfa_token
from auth_common.transactions import read, transaction
from auth_common.users.store import User


def begin_login(mfa_token: str | None) -> StartedCeremony:
    """Begin a login with a passkey.

    Args:
        mfa_token: from a login with the right password. If it is None, the passkey identifies the user, and the
            authenticator must check a PIN or a biometric.

    Raises:
        InvalidMFAToken: this service did not issue the token, the token has expired, or the user's token version has
            changed since.
        TooManyAttempts: this client IP has sent too many ``mfa_token`` values that are not valid, or the user's second
            factor is locked after too many failures.

    """
    user, passkeys = _user_and_passkeys_of(mfa_token) if mfa_token is not None else (None, [])
    challenge_id, challenge = issue_login_challenge(user)
    options = authentication_options(
        challenge=challenge,
        allowed=[(passkey.credential_id, passkey.transports) for passkey in passkeys],
        require_user_verification=user is None,
    )
    return StartedCeremony(challenge_id, options)


def complete_login(
    *, challenge_id: str, credential: Mapping[str, Any], resource: str | None, replaced: Principal | None
) -> TokenPair:
    """Verify the authenticator's response and open a session.

    Args:
        challenge_id: from ``begin_login``.
        credential: the untrusted JSON object that the client sent, an AuthenticationResponseJSON.
        resource: the other service for which the access token is. None for this service.
        replaced: the client's session until now, which the new session replaces.

    Raises:
        InvalidTarget: there are no tokens for ``resource``. The challenge is not used up.
        InvalidChallenge: the challenge is unknown, used or expired, or belongs to another ceremony.
        PasswordRequired: the counter or the backup eligibility of a synced passkey is inconsistent with the stored
            value, and the passkey is the only factor.
        PasskeyLoginFailed: the login was rejected for any other reason.
        TooManyAttempts: the user's second factor is locked, or for a login with a passkey alone, the client IP is.

    """
    require_resource(resource)
    challenge = read_login_challenge(challenge_id)
    records = _read_records(challenge, credential) if challenge else LoginRecords()
    with passkey_attempt(second_factor_user(challenge, records)) as attempt:
        challenge = consume_login_challenge(challenge)
        with_password = challenge.user_id is not None
        try:
            # A passkey alone must be two factors: possession of the device, and a PIN or a biometric.
            proof = verify_assertion(challenge, credential, records.named, require_user_verification=not with_password)
            return _open_session(attempt, proof, resource, replaced, with_password=with_password)
        except AssertionRejected as error:
            raise _rejected(error.user, error.reason, **error.detail) from error


def _read_records(challenge: Challenge, credential: Mapping[str, Any]) -> LoginRecords:
    """Return what the database has about a response, read in one round trip.

    The transaction of the login checks again what may have changed since.
    """
    credential_id = claimed_credential_id(credential)
    return read(
        lambda connection: select_login_records(
            connection, credential_id=credential_id, challenge_id=challenge.id, user_id=challenge.user_id
        )
    )


def _open_session(
    attempt: Attempt, proof: PasskeyProof, resource: str | None, replaced: Principal | None, *, with_password: bool
) -> TokenPair:
    user = proof.user
    if user.status != "active":
        raise AssertionRejected("user_not_active", user)
    if not with_password and not proof.passkey.uv_initialized:
        # The passkey was registered without PIN or biometric. An attacker who found the security key may have set its
        # PIN (section 4, uvInitialized).
        raise AssertionRejected("user_verification_not_initialized", user)

    amr = (*(("pwd",) if with_password else ()), proof.key_method, "user", "mfa")
    new = new_session(user, amr=amr, resource=resource, passkey_id=proof.passkey.id)

    # In one transaction, so that a concurrent deletion of this passkey also revokes this session.
    def open_session(connection: Connection) -> None:
        if not is_user_unchanged(connection, user):
            raise AssertionRejected("token_version_changed", user)
        if not record_assertion(connection, proof, with_password=with_password):
            raise AssertionRejected("unknown_passkey", user)
        attempt.succeed(connection)
        if receives_notices(user) and is_new_client(find_known_clients(connection, user.email)):
            queue_new_login_notice(connection, user)
        store_session(connection, new, replaced=replaced)

    try:
        transaction(open_session)
    except PasswordRequired:
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id, reason="passkey_inconsistent")
        raise
    return new.tokens


def _user_and_passkeys_of(mfa_token: str) -> tuple[User, list[Passkey]]:
    try:
        claims = verify_mfa_token(mfa_token)
    except InvalidMFAToken as error:
        count_rejected_mfa_token(None)
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, reason=error.code)
        raise
    require_second_factor_unlocked(claims.user_id)
    user, passkeys = read(lambda connection: select_user_and_passkeys(connection, user_id=claims.user_id))
    if user is None or user.token_version != claims.token_version:
        count_rejected_mfa_token(claims.user_id)
        security_event(SecurityEvent.AUTHN_TOKEN_REJECTED, user_id=claims.user_id, reason="token_version_changed")
        raise InvalidMFAToken
    return user, passkeys


def _rejected(user: User | None, reason: str, **detail: str) -> PasskeyLoginFailed:
    security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id if user else None, reason=reason, **detail)
    return PasskeyLoginFailed()

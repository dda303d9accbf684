"""Log in with a password: the first factor, and the only factor of an account without a passkey."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from auth_common.errors import DatabaseUnavailable, InvalidCredentials
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.keyed_hashes import account_pseudonym
from auth_common.notices.login_notices import queue_lockout_notice, queue_new_login_notice
from auth_common.passwords.hashing import hash_password, needs_rehash, verify_password
from auth_common.sessions.principal import Principal
from auth_common.sessions.service import lock_unchanged_user, new_session, store_session
from auth_common.sessions.token_pairs import TokenPair
from auth_common.throttling.attempts import Attempt
from auth_common.throttling.known_clients import find_known_clients, is_new_client
from auth_common.throttling.service import login_attempt
from auth_common.throttling.store import KnownClients
from auth_common.tokens.access_tokens import require_resource
from auth_common.tokens.mfa_tokens import MFA_TOKEN_LIFETIME, issue_mfa_token
from auth_common.transactions import read, transaction
from auth_common.users.store import (
    Credentials,
    LockedUser,
    User,
    update_password_hash,
)


@dataclass(frozen=True, slots=True)
class MFARequired:
    """The result of a login to an account with a passkey. The password is right, and a passkey must follow."""

    mfa_token: str
    #: Seconds until the ``mfa_token`` expires.
    expires_in: int = int(MFA_TOKEN_LIFETIME.total_seconds())


def log_in(*, email: str, password: str, resource: str | None, replaced: Principal | None) -> TokenPair | MFARequired:
    """Check a password and open a session. If the account has a passkey, return an ``mfa_token`` instead.

    An unknown address, a wrong password and an account that is disabled or must be verified first cause the same work
    and the same error. Only the security event contains the reason (ASVS 5.0 6.3.8).

    Args:
        email: normalised (``normalise_email``).
        password: as the user typed it.
        resource: the other service for which the access token is. None for this service. A second factor repeats it.
        replaced: the client's session until now, which the new session replaces. An ``mfa_token`` replaces none.

    Raises:
        InvalidTarget: there are no tokens for ``resource``. The password was not checked.
        InvalidCredentials: the address is unknown, the password is wrong, or the account is disabled or must be
            verified first.
        TooManyAttempts: the account or the client IP is locked. The password was not checked.

    """
    require_resource(resource)
    known = read(lambda connection: find_known_clients(connection, email))
    with login_attempt(email, known) as attempt:
        return _log_in(attempt, known, email=email, password=password, resource=resource, replaced=replaced)


def _log_in(
    attempt: Attempt,
    known: KnownClients,
    *,
    email: str,
    password: str,
    resource: str | None,
    replaced: Principal | None,
) -> TokenPair | MFARequired:
    # Read before the attempt was counted. The transaction that opens the session rejects what has changed since.
    found = known.credentials
    # Every login computes one hash before any check, so that all failures take the same time.
    matches = verify_password(password, found.password_hash if found else None)
    reason = _reason_to_reject(found, matches=matches)
    if found is None or reason:
        raise _rejection(attempt, email, found.user if found else None, reason)
    user = found.user
    if needs_rehash(found.password_hash):
        _upgrade_hash(user, password, found.password_hash)

    if found.has_passkey:
        return _ask_for_passkey(attempt, user)
    new = new_session(user, amr=("pwd",), resource=resource)

    def open_session(connection: Connection) -> bool:
        # A passkey may have been added since the password was checked.
        if _lock_unchanged(connection, user).has_passkey:
            return False
        attempt.succeed(connection)
        store_session(connection, new, replaced=replaced)
        if is_new_client(known):
            queue_new_login_notice(connection, user)
        return True

    return new.tokens if transaction(open_session) else _ask_for_passkey(attempt, user)


def _ask_for_passkey(attempt: Attempt, user: User) -> MFARequired:
    # Signed before the attempt is recorded as a success, so that an error in signing does not reset the counters.
    token = issue_mfa_token(user_id=user.id, token_version=user.token_version, now=datetime.now(UTC))

    def settle(connection: Connection) -> None:
        _lock_unchanged(connection, user)
        attempt.succeed(connection)
        security_event(SecurityEvent.AUTHN_LOGIN_FIRST_FACTOR, user_id=user.id)

    transaction(settle)
    return MFARequired(token)


def _lock_unchanged(connection: Connection, user: User) -> LockedUser:
    """Lock the user. Reject the login if the password was replaced or the account disabled since the user was read."""
    locked = lock_unchanged_user(connection, user)
    if locked is None:
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user.id, reason="token_version_changed")
        raise InvalidCredentials
    return locked


def _reason_to_reject(found: Credentials | None, *, matches: bool) -> str:
    """Return why a login is rejected. Return "" if it is accepted."""
    if found is None:
        return "unknown_user"
    if not matches:
        return "wrong_password"
    return {"active": "", "unverified": "email_not_verified"}.get(found.user.status, "user_not_active")


def _rejection(attempt: Attempt, email: str, user: User | None, reason: str) -> InvalidCredentials:
    """Record a rejected login. If it begins a lockout of the account, tell the user, or do the same work."""
    security_event(
        SecurityEvent.AUTHN_LOGIN_FAIL,
        user_id=user.id if user else None,
        reason=reason,
        account=None if user else account_pseudonym(email),
    )
    if attempt.has_begun_lockout("login_account", "login_account_source"):
        # A failure of the service would cancel the attempt, and end the lockout that the wrong password has begun.
        with suppress(DatabaseUnavailable):
            transaction(lambda connection: queue_lockout_notice(connection, email=email, user=user))
    return InvalidCredentials()


def _upgrade_hash(user: User, password: str, stored_hash: str) -> None:
    """Store a hash of the current cost. Only a login can do this, because the password itself is not stored.

    An error of the database does not fail the login.
    """
    new_hash = hash_password(password)
    try:
        transaction(lambda c: update_password_hash(c, user_id=user.id, expected=stored_hash, new=new_hash))
    except DatabaseUnavailable:
        security_event(SecurityEvent.PASSWORD_REHASH_FAIL, user_id=user.id)

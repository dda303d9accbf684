"""Change the caller's password (ASVS 5.0 6.2.2 and 6.2.3). See docs/decisions/0013."""

from sqlalchemy import Connection

from auth_common.errors import InvalidCurrentPassword
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.notices.account_notices import queue_notice
from auth_common.passwords.hashing import hash_password, normalise_password, verify_password
from auth_common.passwords.policy import require_good_password
from auth_common.sessions.caller_checks import rejected_caller, require_self, require_step_up, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.sessions.proof_counter import CountedProof, counted_proof
from auth_common.sessions.service import change_and_revoke, revoke_other_sessions
from auth_common.sessions.store import carry_over_session
from auth_common.throttling.service import count_credential_change
from auth_common.transactions import read
from auth_common.users import store
from auth_common.users.store import Credentials, User, lock_user, select_credentials_by_id
from auth_common.users.uuids import parse_uuid


def change_password(
    principal: Principal, user_id: str, *, current_password: str, new_password: str, step_up_token: str | None
) -> None:
    """Replace the caller's password, and revoke the user's other sessions.

    The caller's session stays valid, but all access tokens of the user become invalid. The client gets a new access
    token with its refresh token.

    Args:
        principal: the caller.
        user_id: the untrusted text in the path. It must be the caller's id, also for an admin (ASVS 5.0 6.4.6).
        current_password: as the user typed it.
        new_password: as the user typed it.
        step_up_token: the header ``Step-Up-Token``, or None. Only an account with a passkey needs the token.

    Raises:
        InvalidToken: the caller's session is not valid any more, for example after a concurrent password change.
        Forbidden: the id is not the caller's.
        StepUpRequired: the caller has a passkey, and the step-up token is missing, not valid, or proved without one.
        ValidationFailed: the new password is too weak (NIST SP 800-63B-4), or equals the current one.
        InvalidCurrentPassword: the current password is wrong. The session's fifth wrong proof revokes the session.
        TooManyAttempts: too many proofs of this session are being checked, or the account has changed its password too
            often today.

    """
    found = read(lambda connection: _require_permitted(connection, principal, user_id, step_up_token))
    # Counted first, so that a session at its limit causes neither the scoring nor the hashing of a password.
    with counted_proof(principal) as proof:
        _require_acceptable(new_password, current_password, found.user)
        if not verify_password(current_password, found.password_hash):
            proof.reject(SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL, reason="wrong_password")
            raise InvalidCurrentPassword
        count_credential_change(principal.user_id)
        _store_new_password(principal, proof, found, hash_password(new_password), step_up_token)


def _require_permitted(
    connection: Connection, principal: Principal, user_id: str, step_up_token: str | None
) -> Credentials:
    """Return the caller's credentials. Raise an error if the caller may not change them now."""
    found = select_credentials_by_id(connection, user_id=principal.user_id)
    if found is None:
        raise rejected_caller(principal)
    caller_state = require_valid_session(connection, principal)
    require_self(principal, parse_uuid(user_id))
    # Without a passkey, a step-up would only check the current password, which this request contains anyway.
    if found.has_passkey:
        require_step_up(principal, caller_state, step_up_token, account_has_passkey=True)
    return found


def _require_acceptable(new_password: str, current_password: str, user: User) -> None:
    # No secret: the caller sent both passwords.
    is_same = normalise_password(new_password) == normalise_password(current_password)
    further_faults = ["must differ from the current password"] if is_same else []
    require_good_password(new_password, user, field="new_password", further_faults=further_faults)


def _store_new_password(
    principal: Principal, proof: CountedProof, verified: Credentials, new_hash: str, step_up_token: str | None
) -> None:
    user = verified.user

    def replace(connection: Connection) -> None:
        # Of two concurrent changes, the second waits for this lock. Then its access token is not valid any more. A
        # concurrent login and a concurrent registration of a first passkey wait for the lock in the same way.
        lock_user(connection, user_id=user.id)
        current = _require_permitted(connection, principal, str(user.id), step_up_token)
        version = store.change_password(connection, user_id=user.id, expected=verified.password_hash, new=new_hash)
        if version is None:
            # Not counted as a wrong proof, because the password was right when it was checked.
            security_event(
                SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL,
                user_id=user.id,
                reason="changed_meanwhile",
                session_id=str(principal.session_id),
            )
            raise InvalidCurrentPassword
        revoke_other_sessions(connection, principal, reason="password_changed")
        carry_over_session(
            connection,
            session_id=principal.session_id,
            token_version=version,
            pending_proofs=proof.pending_proofs,
        )
        security_event(SecurityEvent.AUTHN_PASSWORD_CHANGE, user_id=user.id, session_id=str(principal.session_id))
        queue_notice(connection, MailKind.PASSWORD_CHANGED, user=current.user)

    change_and_revoke(principal, replace)

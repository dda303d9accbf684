"""A change of one's own password (ASVS 5.0 6.2.2 and 6.2.3). See docs/decisions/0013."""

from sqlalchemy import Connection

from auth_common.errors import FieldError, InvalidCurrentPassword, InvalidToken, ValidationFailed
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passwords.hashing import hash_password, normalise_password, verify_password
from auth_common.passwords.policy import password_faults
from auth_common.sessions.caller_checks import check_standing, require_self, require_step_up
from auth_common.sessions.principal import Principal
from auth_common.sessions.proof_counter import CountedProof, counted_proof
from auth_common.sessions.service import change_and_revoke, end_other_sessions
from auth_common.sessions.store import carry_over_session
from auth_common.transactions import read
from auth_common.users import store
from auth_common.users.identifiers import parse_id
from auth_common.users.store import Credentials, User, lock_user, select_credentials_of


def change_password(
    principal: Principal, user_id: str, *, current_password: str, new_password: str, step_up_token: str | None
) -> None:
    """Replace the caller's password, and end their other sessions.

    The caller's own session goes on, but all access tokens end, its own too: its refresh token gets the next one.

    Args:
        principal: the caller.
        user_id: as it stood in the path; anything. It must be the caller's, an admin's too (ASVS 5.0 6.4.6).
        current_password: as typed.
        new_password: as typed.
        step_up_token: as it stood in the header; an account without passkeys needs none.

    Raises:
        InvalidToken: the caller's session is revoked, perhaps by another change at the same moment.
        Forbidden: the id of another user, or one that does not exist.
        StepUpRequired: the caller has a passkey, and no step-up token that was proved with one.
        ValidationFailed: the new password is too weak (NIST SP 800-63B-4), or is the current one.
        InvalidCurrentPassword: the current password is wrong. The fifth one revokes the session.
        TooManyAttempts: too many proofs of this session are being checked.

    """
    found = read(lambda connection: _require_permitted(connection, principal, user_id, step_up_token))
    # Counted first: a session at its ceiling has neither a password scored nor one hashed.
    with counted_proof(principal) as proof:
        _require_acceptable(new_password, current_password, found.user)
        if not verify_password(current_password, found.password_hash):
            proof.reject(SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL, reason="wrong_password")
            raise InvalidCurrentPassword
        _store_new_password(principal, proof, found, hash_password(new_password), step_up_token)


def _require_permitted(
    connection: Connection, principal: Principal, user_id: str, step_up_token: str | None
) -> Credentials:
    """Return what the caller logs in with, if they may change it now."""
    found = select_credentials_of(connection, user_id=principal.user_id)
    if found is None:
        raise InvalidToken
    standing = check_standing(connection, principal)
    require_self(principal, parse_id(user_id))
    # Without a passkey the current password is all the proof that a step-up would be.
    if found.has_passkey:
        require_step_up(principal, standing, step_up_token, account_has_passkey=True)
    return found


def _require_acceptable(new_password: str, current_password: str, user: User) -> None:
    faults = list(password_faults(new_password, personal=(user.name, user.email, user.job_title)))
    # No secret: the caller has sent both.
    if normalise_password(new_password) == normalise_password(current_password):
        faults.append("must be another one than the current password")
    if faults:
        raise ValidationFailed(*(FieldError("new_password", fault) for fault in faults))


def _store_new_password(
    principal: Principal, proof: CountedProof, verified: Credentials, new_hash: str, step_up_token: str | None
) -> None:
    user = verified.user

    def replace(connection: Connection) -> None:
        # The lock: of two changes at once the second waits, and then finds that its access token has ended. The same
        # happens to whoever opens a session, or adds a first passkey.
        lock_user(connection, user_id=user.id)
        _require_permitted(connection, principal, str(user.id), step_up_token)
        version = store.change_password(connection, user_id=user.id, expected=verified.password_hash, new=new_hash)
        if version is None:
            # No wrong proof: the password was right when it was checked.
            security_event(
                SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL,
                user_id=user.id,
                reason="changed_meanwhile",
                session_id=str(principal.session_id),
            )
            raise InvalidCurrentPassword
        end_other_sessions(connection, principal, reason="password_changed")
        carry_over_session(
            connection,
            session_id=principal.session_id,
            token_version=version,
            pending_proofs=proof.pending_proofs,
        )
        security_event(SecurityEvent.AUTHN_PASSWORD_CHANGE, user_id=user.id, session_id=str(principal.session_id))

    change_and_revoke(principal, replace)

"""List, rename and delete the passkeys of the caller's account."""

from dataclasses import dataclass

from sqlalchemy import Connection

from auth_common.errors import NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail_tokens.store import delete_mail_tokens_of
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose
from auth_common.notices.account_notices import queue_notice
from auth_common.passkeys import store
from auth_common.passkeys.caller_account import lock_caller, require_valid_session_with_passkeys
from auth_common.passkeys.store import Passkey
from auth_common.sessions.caller_checks import require_step_up
from auth_common.sessions.principal import Principal
from auth_common.sessions.service import change_and_revoke, revoke_other_sessions
from auth_common.sessions.store import delete_step_up_token
from auth_common.settings import settings
from auth_common.transactions import read, transaction
from auth_common.users.store import User, select_user
from auth_common.users.uuids import parse_uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What authenticators store about a user beside the passkey (WebAuthn section 5.4.3)."""

    rp_id: str
    user_id: bytes
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class PasskeyList:
    """A user's passkeys, newest first, and the details for the Signal API if it may be used."""

    items: list[Passkey]
    signals: Signals | None


def list_passkeys(principal: Principal) -> PasskeyList:
    """Return the caller's passkeys.

    Raises:
        InvalidToken: the caller's session is not valid any more.

    """

    def select(connection: Connection) -> PasskeyList:
        _, items = require_valid_session_with_passkeys(connection, principal)
        user = select_user(connection, user_id=principal.user_id) if settings().passkey_signals else None
        return PasskeyList(items, _signals(user) if user else None)

    return read(select)


def _signals(user: User) -> Signals:
    # The same values as in the options of a registration.
    return Signals(rp_id=settings().webauthn_rp_id, user_id=user.id.bytes, name=user.email, display_name=user.name)


def rename_passkey(principal: Principal, passkey_id: str, *, name: str, step_up_token: str | None) -> None:
    """Rename one of the caller's passkeys.

    Args:
        principal: the caller.
        passkey_id: the untrusted text in the path.
        name: the new name.
        step_up_token: the header ``Step-Up-Token``, or None.

    Raises:
        InvalidToken: the caller's session is not valid any more.
        StepUpRequired: the step-up token is not valid, or the step-up used no passkey.
        NotFound: the caller has no such passkey.

    """
    key = parse_uuid(passkey_id)

    def rename(connection: Connection) -> None:
        caller_state, registered = require_valid_session_with_passkeys(connection, principal)
        require_step_up(principal, caller_state, step_up_token, account_has_passkey=bool(registered))
        if key is None or not store.rename_passkey(connection, passkey_id=key, user_id=principal.user_id, name=name):
            raise NotFound
        security_event(
            SecurityEvent.USER_UPDATED, user_id=principal.user_id, reason="passkey_renamed", passkey_id=str(key)
        )

    transaction(rename)


def delete_passkey(principal: Principal, passkey_id: str, *, step_up_token: str | None) -> None:
    """Delete one of the caller's passkeys, and revoke the user's other sessions: the passkey may have opened them.

    Args:
        principal: the caller.
        passkey_id: the untrusted text in the path.
        step_up_token: the header ``Step-Up-Token``, or None.

    Raises:
        InvalidToken: the caller's session is not valid any more.
        StepUpRequired: the step-up token is not valid, or the step-up used no passkey.
        NotFound: the caller has no such passkey.

    """
    key = parse_uuid(passkey_id)

    def delete(connection: Connection) -> None:
        user = lock_caller(connection, principal)
        caller_state, registered = require_valid_session_with_passkeys(connection, principal)
        require_step_up(principal, caller_state, step_up_token, account_has_passkey=bool(registered))
        if key is None or not store.delete_passkeys(connection, user_id=principal.user_id, only=key):
            raise NotFound
        security_event(SecurityEvent.AUTHN_PASSKEY_REMOVED, user_id=principal.user_id, passkey_id=str(key))
        queue_notice(connection, MailKind.PASSKEY_REMOVED, user=user)
        delete_step_up_token(connection, session_id=principal.session_id)
        # The passkey may have proved the step-up for a change of the address.
        delete_mail_tokens_of(connection, user_id=user.id, purposes=(MailTokenPurpose.CHANGE_EMAIL,))
        revoke_other_sessions(connection, principal, reason="passkey_removed")

    change_and_revoke(principal, delete)

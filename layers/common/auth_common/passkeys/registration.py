"""Register a passkey for the caller's account (the registration ceremony of WebAuthn)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from auth_common.errors import PasskeyRejected, StepUpRequired, TooManyPasskeys
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail_tokens.store import delete_mail_tokens_of
from auth_common.mail_tokens.tokens_and_codes import MailTokenPurpose
from auth_common.notices.account_notices import queue_notice
from auth_common.passkeys import store
from auth_common.passkeys.caller_account import lock_caller, require_valid_session_with_passkeys
from auth_common.passkeys.challenge_store import Ceremony, Challenge
from auth_common.passkeys.session_challenges import (
    StartedCeremony,
    consume_session_challenge,
    new_session_challenge,
    store_challenge,
)
from auth_common.passkeys.store import Passkey
from auth_common.passkeys.verification import InvalidPasskeyResponse, registration_options, verify_registration
from auth_common.sessions.caller_checks import require_step_up, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.sessions.service import change_and_revoke, revoke_other_sessions
from auth_common.sessions.store import delete_step_up_token
from auth_common.throttling.service import count_credential_change, count_in_session
from auth_common.transactions import read

#: Passkeys per user. One response can list all of them.
MAX_PASSKEYS: Final = 10
#: The name of a passkey that the user did not name.
DEFAULT_NAME: Final = "Passkey"


def begin_registration(principal: Principal, *, step_up_token: str | None) -> StartedCeremony:
    """Begin to register a passkey.

    The challenge is bound to the session and to the passkeys that the account has now. The registration is rejected if
    another passkey is added before ``complete_registration``, because the step-up's proof may no longer be enough.

    Raises:
        InvalidToken: the caller's session is not valid any more.
        StepUpRequired: the step-up token is not valid, or the account has a passkey and the step-up used none.
        TooManyPasskeys: the account has ``MAX_PASSKEYS`` passkeys.
        TooManyAttempts: the session has begun too many registrations.

    """

    def select_passkeys_if_permitted(connection: Connection) -> list[Passkey]:
        caller_state, registered = require_valid_session_with_passkeys(connection, principal)
        require_step_up(principal, caller_state, step_up_token, account_has_passkey=bool(registered))
        _require_below_limit(registered)
        return registered

    # Checked before the count, so that an attacker with only the access token cannot use up the user's rate limit.
    registered = read(select_passkeys_if_permitted)
    count_in_session("registration_challenge", user_id=principal.user_id, session_id=principal.session_id)
    challenge = new_session_challenge(Ceremony.REGISTRATION, principal, passkey_ids=[each.id for each in registered])
    user = store_challenge(challenge, principal)
    options = registration_options(
        challenge=challenge.challenge,
        user_handle=user.id.bytes,
        email=user.email,
        name=user.name,
        registered=[(passkey.credential_id, passkey.transports) for passkey in registered],
    )
    return StartedCeremony(str(challenge.id), options)


def complete_registration(
    principal: Principal, *, challenge_id: str, credential: Mapping[str, Any], name: str | None
) -> Passkey:
    """Verify the authenticator's response and store the new passkey. All other sessions of the user are revoked.

    Args:
        principal: the caller.
        challenge_id: from ``begin_registration``.
        credential: the untrusted JSON object that the client sent, a RegistrationResponseJSON.
        name: the user's name for the passkey. ``DEFAULT_NAME`` if it is None.

    Raises:
        InvalidChallenge: the challenge is unknown, used, expired, or belongs to another ceremony or session.
        PasskeyRejected: the response breaks a rule of WebAuthn, or the credential is registered already.
        InvalidToken: the caller's session is not valid any more.
        StepUpRequired: another passkey was added since ``begin_registration``.
        TooManyPasskeys: the account has ``MAX_PASSKEYS`` passkeys.
        TooManyAttempts: the session has sent too many challenges that are not valid, or the account has added too many
            passkeys today.

    """
    # Checked first, so that a request of a revoked session gets 401 and does not use up the challenge.
    read(lambda connection: require_valid_session(connection, principal))
    challenge = consume_session_challenge(challenge_id, Ceremony.REGISTRATION, principal)
    try:
        verified = verify_registration(credential, expected_challenge=challenge.challenge)
    except InvalidPasskeyResponse as error:
        security_event(
            SecurityEvent.AUTHN_PASSKEY_REJECTED, user_id=principal.user_id, reason="not_valid", fault=str(error)[:200]
        )
        raise PasskeyRejected from error
    count_credential_change(principal.user_id)
    passkey = Passkey(
        id=uuid4(),
        user_id=principal.user_id,
        credential_id=verified.credential_id,
        public_key=verified.public_key,
        sign_count=verified.sign_count,
        transports=store.storable_transports(verified.transports),
        aaguid=verified.aaguid,
        uv_initialized=verified.user_verified,
        backup_eligible=verified.backup_eligible,
        backed_up=verified.backed_up,
        name=name or DEFAULT_NAME,
        created_at=datetime.now(UTC),
    )

    def store_if_permitted(connection: Connection) -> None:
        user = lock_caller(connection, principal)
        _, registered = require_valid_session_with_passkeys(connection, principal)
        _require_below_limit(registered)
        _require_no_new_passkey(principal, challenge, registered)
        store.insert_passkey(connection, passkey)
        security_event(SecurityEvent.AUTHN_PASSKEY_ADDED, user_id=principal.user_id, passkey_id=str(passkey.id))
        # The time of the passkey, so that the link in the notice removes it.
        queue_notice(connection, MailKind.PASSKEY_ADDED, user=user, event_at=passkey.created_at)
        delete_step_up_token(connection, session_id=principal.session_id)
        # The step-up for a change of the address may have used the password only, and an attacker's mailbox waits.
        delete_mail_tokens_of(connection, user_id=user.id, purposes=(MailTokenPurpose.CHANGE_EMAIL,))
        revoke_other_sessions(connection, principal, reason="passkey_added")

    try:
        change_and_revoke(principal, store_if_permitted)
    except (PasskeyRejected, TooManyPasskeys) as error:
        reason = "registered_already" if isinstance(error, PasskeyRejected) else "too_many_passkeys"
        security_event(SecurityEvent.AUTHN_PASSKEY_REJECTED, user_id=principal.user_id, reason=reason)
        raise
    return passkey


def _require_below_limit(registered: list[Passkey]) -> None:
    if len(registered) >= MAX_PASSKEYS:
        raise TooManyPasskeys


def _require_no_new_passkey(principal: Principal, challenge: Challenge, registered: list[Passkey]) -> None:
    """Reject a registration if a passkey was added to the account since the registration began.

    The step-up may have used the password only. An account with a passkey requires a step-up with a passkey.
    """
    if {str(passkey.id) for passkey in registered} - set(challenge.passkey_ids.split()):
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="passkey_added_meanwhile")
        raise StepUpRequired("webauthn")

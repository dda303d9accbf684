"""The catalogue's part on authentication: logins, passkeys, tokens."""

from collections.abc import Mapping
from typing import Final

from auth_common.events.catalogue_entry import ACCOUNT, BY_OPERATOR, Entry
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

_ENDED_SESSION: Final = {
    "session_unknown": "no such session",
    "session_revoked": "the session was ended",
    "session_expired": "the session has reached its absolute age",
    "token_expired": "past its lifetime",
    "token_version_changed": "an operator has ended all sessions or changed the account, or its password was changed",
    "user_not_active": "the account is disabled",
}
AUTHENTICATION_EVENTS: Final[Mapping[SecurityEvent, Entry]] = {
    SecurityEvent.AUTHN_LOGIN_SUCCESS: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=1,
        when="a login succeeds, by password or by passkey; recorded in the transaction that opens the session",
        respond="Nothing by itself. After many failures of one account (docs/runbooks/password-spraying.md).",
        fields={
            "amr": "how (RFC 8176)",
            "session_id": "the session that it opened",
            "passkey_id": "what was used",
        },
    ),
    SecurityEvent.AUTHN_LOGIN_FAIL: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=1,
        when="a login fails",
        respond="One is a typing error. Watch the rate (docs/runbooks/failed-logins.md) and the number of accounts.",
        reasons={
            "unknown_user": "no account has the address",
            "wrong_password": "the account is there, the password is another",
            "user_not_active": "right, but the account is disabled",
            "unknown_passkey": "no user has registered this credential, or it was deleted at that moment",
            "passkey_of_another_user": "somebody else's passkey as second factor, or a false user handle",
            "not_valid": "a rule of WebAuthn is broken; `fault` says which",
            "sign_count_not_advanced": "the counter of a passkey that is bound to one device did not advance: "
            "perhaps a copied authenticator",
            "passkey_inconsistent": "a synced passkey alone, with a counter or backup eligibility that does not fit: "
            "`authn_passkey_inconsistent` says which, and the response asks for the password",
            "token_version_changed": "the account was changed while this login was under way",
            "user_verification_not_initialized": "alone, a key that was registered without PIN or biometry",
            "invalid_challenge": "unknown, expired, or answered before",
        },
        fields={**ACCOUNT, "fault": "the rule of WebAuthn", "target": "whose login it was, with another's passkey"},
    ),
    SecurityEvent.AUTHN_LOGIN_FIRST_FACTOR: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="the password was right, and the passkey is still to come",
        respond="Several without a login that follows: somebody knows the password (docs/runbooks/failed-logins.md).",
    ),
    SecurityEvent.AUTHN_LOGIN_LOCK: Entry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=9,
        when="too many logins, or changes of a password, have failed, and a lock begins; once a lock",
        respond="At an account's lock the owner can still log in from a known address, or with a passkey alone. Look "
        "where it came from.",
        reasons={
            "login_account_source": "with the password of one account, from one source",
            "login_account": "with the password of one account, from sources that it is not known to use",
            "login_source": "with passwords, from one source",
            "second_factor": "with the second factor of one account: somebody knows its password",
            "passkey_source": "with passkeys, from one source",
        },
        fields={**ACCOUNT, "locked_for": "seconds; each lock lasts twice as long as the one before"},
    ),
    SecurityEvent.AUTHN_PASSKEY_ADDED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=10,
        when="somebody adds a passkey",
        respond="From an address that is new for the account: ask its owner.",
        fields={"passkey_id": "which"},
    ),
    SecurityEvent.AUTHN_PASSKEY_INCONSISTENT: Entry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=99,
        when="a synced passkey gives a valid signature, but its counter or backup eligibility does not fit the stored "
        "record; with the password it is accepted and the new values are stored",
        respond="Once is an update of a password manager, or a second one. Repeated, or from a client IP that is new "
        "for the account: ask the user, because a copy of the key looks the same (docs/runbooks/lost-passkey.md).",
        reasons={
            "sign_count_not_advanced": "the counter did not advance",
            "backup_eligibility_changed": "a passkey bound to one device became synced, or the reverse",
        },
        fields={"passkey_id": "which", "accepted": "`yes`, beside the password; `no`, as the only factor"},
    ),
    SecurityEvent.AUTHN_PASSKEY_REMOVED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=11,
        when="the owner deletes a passkey, or an operator deletes all of a person's",
        respond="By an operator: there must be a request for it (docs/runbooks/lost-passkey.md).",
        reasons=BY_OPERATOR,
        fields={"passkey_id": "which", "passkeys_removed": "how many, by an operator"},
    ),
    SecurityEvent.AUTHN_PASSKEY_REJECTED: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=10,
        when="a passkey could not be registered",
        respond="Repeated `not_valid`: an attack on the ceremony, or an authenticator that should be looked at.",
        reasons={
            "not_valid": "a rule of WebAuthn is broken; `fault` says which",
            "invalid_challenge": "unknown, expired, answered before, or another's",
            "registered_already": "somebody has registered this credential",
            "too_many_passkeys": "the account has as many as it may have",
        },
        fields={"fault": "the rule of WebAuthn"},
    ),
    SecurityEvent.AUTHN_PASSWORD_CHANGE: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="somebody changes their password; recorded in the transaction that stores the new one",
        respond="From an address that is new for the account: ask its owner.",
        fields={"session_id": "the session that changed it, which goes on"},
    ),
    SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL: Entry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="a logged-in user wants to change the password, and the current one is wrong",
        respond="One is a typing error. Several: the client has an access token and not the password "
        "(docs/runbooks/failed-step-ups.md).",
        reasons={
            "wrong_password": "the current password is another",
            "changed_meanwhile": "it was right, and another was stored while it was checked; not counted",
        },
        fields={"session_id": "the session"},
    ),
    SecurityEvent.AUTHN_STEP_UP_SUCCESS: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="a logged-in user proves their identity again; recorded in the transaction that stores the step-up token",
        respond="Nothing by itself. It precedes a change of passkeys or the end of other sessions.",
        fields={
            "amr": "how (RFC 8176)",
            "session_id": "the session that got the token",
            "passkey_id": "what was used",
        },
    ),
    SecurityEvent.AUTHN_STEP_UP_FAIL: Entry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="a logged-in user does not prove their identity",
        respond="One is a typing error. Several: the client has an access token and not the password "
        "(docs/runbooks/failed-step-ups.md).",
        reasons={
            "wrong_password": "the password is another",
            "unknown_passkey": "no user has registered this credential, or it was deleted at that moment",
            "passkey_of_another_user": "the passkey of another user, or a false user handle",
            "not_valid": "a rule of WebAuthn is broken; `fault` says which",
            "sign_count_not_advanced": "the counter of a passkey that is bound to one device did not advance: "
            "perhaps a copied authenticator",
            "token_version_changed": "the account was changed while this step-up was under way",
            "passkey_not_enough": "a genuine passkey, but without user verification, and no password",
            "passkey_inconsistent": "a genuine synced passkey whose counter or backup eligibility does not fit its "
            "record, and no password; not counted",
            "invalid_challenge": "unknown, expired, answered before, or of another session; not counted",
        },
        fields={"session_id": "the session", "fault": "the rule of WebAuthn", "target": "whose step-up it was"},
    ),
    SecurityEvent.AUTHN_STEP_UP_FAIL_MAX: Entry(
        succeeded=False,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=2,
        when="the fifth wrong proof of identity in a session, at a step-up or a change of the password, revoked it",
        respond="An attacker may hold a copy of the session's tokens (docs/runbooks/failed-step-ups.md).",
        fields={"session_id": "the session that was revoked"},
    ),
    SecurityEvent.AUTHN_TOKEN_CREATED: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHORIZE_SESSION,
        activity=1,
        when="a login or a refresh returns tokens; recorded in the transaction that stores the refresh token",
        respond="Nothing by itself.",
        fields={"session_id": "whose tokens", "role": "the role that the access token carries"},
    ),
    SecurityEvent.AUTHN_TOKEN_REJECTED: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=99,
        when="a token is refused: by the authorizer (once while the gateway keeps the refusal), by a function that "
        "meets an ended session, or a refresh token or `mfa_token`",
        respond="Clients with old tokens cause some. A spike is somebody trying (docs/runbooks/rejected-tokens.md).",
        reasons={
            **_ENDED_SESSION,
            "invalid_token": "the authorizer found the signature or a claim not valid",
            "invalid_mfa_token": "not one of ours, or expired",
            "unknown_token": "a refresh token that was never issued, or is long gone",
            "storage_not_mounted": "the keys could not be read",
            "service_unavailable": "the keys could not be read",
        },
        fields={"session_id": "of the refresh token"},
    ),
    SecurityEvent.AUTHN_TOKEN_REVOKED: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=2,
        when="sessions are ended by their owner, by a change of their passkeys or password, or by an operator",
        respond="Nothing by itself.",
        reasons={
            "by_owner": "a logout, or the end of other sessions",
            "passkey_added": "with each new passkey, all other sessions end",
            "passkey_removed": "with the deletion of a passkey, all other sessions end",
            "password_changed": "with a new password, all other sessions end",
            **BY_OPERATOR,
        },
        fields={"sessions_ended": "how many"},
    ),
    SecurityEvent.AUTHN_TOKEN_REUSE: Entry(
        succeeded=False,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=5,
        when="a spent refresh token came back; its session was ended (RFC 9700 section 4.14)",
        respond="Somebody else has held the token (docs/runbooks/token-reuse.md).",
        reasons={"spent_token_reused": "outside the grace period, or not the parent of the live token"},
        fields={"session_id": "the session that was ended"},
    ),
}

"""Catalogue entries of the security events about clients, logins, passkeys, passwords, step-ups and tokens."""

from collections.abc import Mapping
from typing import Final

from auth_common.events.catalogue.entry import (
    ACCOUNT,
    BY_OPERATOR,
    MAIL_TOKEN_REJECTIONS,
    NO_MAIL,
    CatalogueEntry,
)
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

_INVALID_SESSION: Final = {
    "session_unknown": "the session does not exist",
    "session_revoked": "the session was revoked",
    "session_expired": "the session has reached its absolute age",
    "token_expired": "the token has expired",
    "token_version_changed": "the password was changed, or an operator changed the account or revoked all its sessions",
    "user_not_active": "the account is disabled",
}
AUTHENTICATION_EVENTS: Final[Mapping[SecurityEvent, CatalogueEntry]] = {
    SecurityEvent.AUTHN_CLIENT_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=1,
        when="the authentication of a client fails",
        respond="A client with an old secret causes several. `assertion_replayed` means that an attacker may have read "
        "a request of the client (docs/runbooks/client-authentication.md).",
        reasons={
            "no_credentials": "the request has neither a secret nor an assertion",
            "malformed_credentials": "the header, the name or the assertion is malformed, or its algorithm is not "
            "accepted",
            "unknown_client": "no client has the name",
            "wrong_method": "the client is registered for a secret and sent an assertion, or the reverse, or its "
            "assertion has another algorithm",
            "wrong_secret": "the secret is wrong, or was ended by a rotation",
            "assertion_not_valid": "the signature, the audience, the expiry or another claim of the assertion is wrong",
            "assertion_replayed": "the assertion was used before",
        },
        fields={"client": "the name of the client, if it exists"},
    ),
    SecurityEvent.AUTHN_CLIENT_TOKEN_CREATED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHORIZE_SESSION,
        activity=1,
        when="a client gets an access token of its own",
        respond="Usually nothing. `old` after a rotation means that the client does not use the new credential yet.",
        fields={
            "client": "the name of the client",
            "scope": "the scopes of the token",
            "resource": "the audience of the token",
            "credential": "`current`, or `old` for the one before the last rotation",
        },
    ),
    SecurityEvent.AUTHN_LOGIN_SUCCESS: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=1,
        when="a login with a password or a passkey succeeds. It is recorded in the transaction that opens the session",
        respond="Usually nothing. Investigate a success after many failures of the same account "
        "(docs/runbooks/password-spraying.md).",
        fields={
            "amr": "the authentication methods (RFC 8176)",
            "session_id": "the new session",
            "passkey_id": "the passkey, if one was used",
        },
    ),
    SecurityEvent.AUTHN_LOGIN_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=1,
        when="a login fails",
        respond="A single one is a typing error. Watch the rate (docs/runbooks/failed-logins.md) and the number of "
        "accounts.",
        reasons={
            "unknown_user": "no account has the e-mail address",
            "wrong_password": "the account exists and the password is wrong",
            "email_not_verified": "the account's address must be verified before the first login",
            "user_not_active": "the credentials are right and the account is disabled",
            "unknown_passkey": "no user has registered this credential, or it was deleted during the login",
            "passkey_of_another_user": "the second factor is another user's passkey, or the user handle is wrong",
            "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
            "sign_count_not_advanced": "the counter of a device-bound passkey did not advance. The authenticator may "
            "have been copied",
            "passkey_inconsistent": "a synced passkey without a password has an unexpected counter or backup "
            "eligibility. `authn_passkey_inconsistent` says which, and the response asks for the password",
            "token_version_changed": "the account was changed during this login",
            "user_verification_not_initialized": "the passkey was registered without PIN or biometry, so it is not "
            "accepted without a password",
            "invalid_challenge": "the challenge is unknown, expired or already used",
        },
        fields={
            **ACCOUNT,
            "fault": "the rule of WebAuthn",
            "target": "the account of the first factor, if the passkey belongs to another user",
        },
    ),
    SecurityEvent.AUTHN_LOGIN_FIRST_FACTOR: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="the password is right and the login now requires the passkey",
        respond="Several without a login afterwards mean that an attacker knows the password "
        "(docs/runbooks/failed-logins.md).",
    ),
    SecurityEvent.AUTHN_LOGIN_LOCK: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=9,
        when="a lockout begins after too many failed logins. It is recorded once per lockout",
        respond="During the lockout of an account, its user can still log in from a known client IP or with a passkey "
        "alone. Find out which client IPs the attempts came from.",
        reasons={
            "login_account_source": "wrong passwords for one account from one client IP",
            "login_account": "wrong passwords for one account from client IPs that are not known for it",
            "login_source": "wrong passwords from one client IP",
            "second_factor": "wrong second factors for one account. The attacker knows its password",
            "passkey_source": "passkey logins that failed, from one client IP",
        },
        fields={
            **ACCOUNT,
            "locked_for": "the length of the lockout in seconds. Each lockout is twice as long as the one before",
        },
    ),
    SecurityEvent.AUTHN_PASSKEY_ADDED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=10,
        when="a user adds a passkey",
        respond="If the client IP is new for the account, ask the user.",
        fields={"passkey_id": "the new passkey"},
    ),
    SecurityEvent.AUTHN_PASSKEY_INCONSISTENT: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=99,
        when="a synced passkey gives a valid signature, but its counter or backup eligibility contradicts the stored "
        "record. With the password it is accepted and the new values are stored",
        respond="A single one comes from an update of a password manager, or from a second one. Ask the user if it "
        "repeats or if the client IP is new for the account, because a copy of the key looks the same "
        "(docs/runbooks/lost-passkey.md).",
        reasons={
            "sign_count_not_advanced": "the counter did not advance",
            "backup_eligibility_changed": "a device-bound passkey became synced, or the reverse",
        },
        fields={
            "passkey_id": "the passkey",
            "accepted": "`yes` with the password, `no` as the only factor",
        },
    ),
    SecurityEvent.AUTHN_PASSKEY_REMOVED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=11,
        when="a user deletes a passkey, or an operator deletes passkeys of an account",
        respond="If an operator did it, there must be a request for it (docs/runbooks/lost-passkey.md).",
        reasons=BY_OPERATOR,
        fields={
            "passkey_id": "the passkey that the user deleted",
            "passkeys_removed": "how many passkeys the operator deleted",
        },
    ),
    SecurityEvent.AUTHN_PASSKEY_REJECTED: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=10,
        when="a passkey could not be registered",
        respond="Investigate repeated `not_valid`: it is an attack on the ceremony or an incompatible authenticator.",
        reasons={
            "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
            "invalid_challenge": "the challenge is unknown, expired, already used, or belongs to another session",
            "registered_already": "this credential is registered already",
            "too_many_passkeys": "the account has the maximum number of passkeys",
        },
        fields={"fault": "the rule of WebAuthn"},
    ),
    SecurityEvent.AUTHN_PASSWORD_CHANGE: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="a user changes their password. It is recorded in the transaction that stores the new password hash",
        respond="If the client IP is new for the account, ask the user.",
        fields={"session_id": "the session that changed the password. It stays valid"},
    ),
    SecurityEvent.AUTHN_PASSWORD_CHANGE_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="a logged-in user tries to change the password with a wrong current password",
        respond="One is a typing error. Several mean that the client has an access token without the password "
        "(docs/runbooks/failed-step-ups.md).",
        reasons={
            "wrong_password": "the current password is wrong",
            "changed_meanwhile": "the current password was right, and a new one was stored while it was checked. This "
            "attempt is not counted",
        },
        fields={"session_id": "the session"},
    ),
    SecurityEvent.AUTHN_PASSWORD_RESET: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=4,
        when="a user sets a new password by the link of a mail. All sessions are revoked",
        respond="If the client IP is new for the account, ask the user: an attacker may read the mailbox.",
    ),
    SecurityEvent.AUTHN_PASSWORD_RESET_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=4,
        when="the token of a password reset is rejected",
        respond="Old links cause some.",
        reasons={
            **MAIL_TOKEN_REJECTIONS,
            "not_verified": "the address is not verified any more",
        },
    ),
    SecurityEvent.AUTHN_PASSWORD_RESET_REQUESTED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="a client asks for a password reset. The response is the same for every reason",
        respond="Many for different accounts mean that an attacker floods mailboxes, or looks for accounts "
        "(docs/runbooks/mail-requests.md).",
        reasons={
            **BY_OPERATOR,
            "mail_queued": "a mail with a link is sent",
            "address_not_verified": "a mail with a link to register again is sent",
            **NO_MAIL,
        },
        fields=ACCOUNT,
    ),
    SecurityEvent.AUTHN_STEP_UP_SUCCESS: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="a logged-in user proves their identity again. It is recorded in the transaction that stores the step-up "
        "token",
        respond="Usually nothing. It precedes a change of passkeys or the revocation of other sessions.",
        fields={
            "amr": "the authentication methods (RFC 8176)",
            "session_id": "the session that received the token",
            "passkey_id": "the passkey, if one was used",
        },
    ),
    SecurityEvent.AUTHN_STEP_UP_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="a logged-in user fails to prove their identity",
        respond="One is a typing error. Several mean that the client has an access token without the password "
        "(docs/runbooks/failed-step-ups.md).",
        reasons={
            "wrong_password": "the password is wrong",
            "unknown_passkey": "no user has registered this credential, or it was deleted during the step-up",
            "passkey_of_another_user": "the passkey belongs to another user, or the user handle is wrong",
            "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
            "sign_count_not_advanced": "the counter of a device-bound passkey did not advance. The authenticator may "
            "have been copied",
            "token_version_changed": "the account was changed during this step-up",
            "passkey_not_enough": "the passkey is genuine and did not verify the user, and the request has no password",
            "passkey_inconsistent": "the passkey is genuine and synced, with an unexpected counter or backup "
            "eligibility, and the request has no password. This attempt is not counted",
            "invalid_challenge": "the challenge is unknown, expired, already used, or belongs to another session. This "
            "attempt is not counted",
        },
        fields={
            "session_id": "the session",
            "fault": "the rule of WebAuthn",
            "target": "the account of the session, if the passkey belongs to another user",
        },
    ),
    SecurityEvent.AUTHN_STEP_UP_FAIL_MAX: CatalogueEntry(
        succeeded=False,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=2,
        when="the fifth wrong proof of identity in a session, at a step-up or a change of the password, revokes it",
        respond="An attacker may have a copy of the session's tokens (docs/runbooks/failed-step-ups.md).",
        fields={"session_id": "the session that was revoked"},
    ),
    SecurityEvent.AUTHN_TOKEN_CREATED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHORIZE_SESSION,
        activity=1,
        when="a login or a refresh returns tokens. It is recorded in the transaction that stores the refresh token",
        respond="Nothing.",
        fields={
            "session_id": "the session of the tokens",
            "role": "the role in the access token",
            "resource": "the other service for which the access token is",
        },
    ),
    SecurityEvent.AUTHN_TOKEN_REJECTED: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=99,
        when="an access token, a refresh token or an `mfa_token` is rejected. The authorizer records a token once "
        "while the gateway caches its decision. A function records an access token whose session is no longer valid",
        respond="Clients with old tokens cause some. A spike is an attack (docs/runbooks/rejected-tokens.md).",
        reasons={
            **_INVALID_SESSION,
            "invalid_token": "the authorizer or an introspection rejected the signature or a claim, such as the expiry",
            "client_unknown": "the client of an introspected service token was removed",
            "invalid_mfa_token": "the `mfa_token` was not issued by this service, or has expired",
            "unknown_token": "the refresh token was never issued, or was deleted long ago",
            "storage_not_mounted": "the keys could not be read",
            "service_unavailable": "the keys could not be read",
        },
        fields={
            "session_id": "the session of the refresh token",
            "client": "the client that introspected the token",
            "subject": "the `sub` of an introspected token",
        },
    ),
    SecurityEvent.AUTHN_TOKEN_REVOKED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=2,
        when="sessions are revoked by their user, by a change of the user's passkeys or password, by the next login of "
        "the same client, or by an operator",
        respond="Nothing.",
        reasons={
            "by_owner": "the user logged out or revoked other sessions",
            "by_refresh_token": "a client revoked its refresh token (RFC 7009), which was the proof",
            "passkey_added": "a new passkey revokes all other sessions",
            "passkey_removed": "the deletion of a passkey revokes all other sessions",
            "password_changed": "a new password revokes all other sessions",
            "replaced_by_login": "the client of the session logged in again, as the same user or as another",
            "password_reset": "a password reset revokes all sessions, and every login that is under way",
            "account_secured": 'the link "this was not me" of a notice revokes all sessions',
            **BY_OPERATOR,
        },
        fields={"sessions_ended": "how many sessions were revoked"},
    ),
    SecurityEvent.AUTHN_TOKEN_REUSE: CatalogueEntry(
        succeeded=False,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=5,
        when="a client presents a spent refresh token again, to exchange or to revoke it. Its session is revoked (RFC "
        "9700 section 4.14)",
        respond="An attacker may have had the token (docs/runbooks/token-reuse.md).",
        reasons={"spent_token_reused": "the grace period is over, or the token is not the parent of the live token"},
        fields={"session_id": "the session that was revoked"},
    ),
}

"""The catalogue of security events: what each means, how much it matters, what to do when it is seen.

docs/security-events.md is made from it (``make security-events``). Names follow OWASP's Logging Vocabulary Cheat Sheet;
classes and activities are those of OCSF 1.3.0, the newest that Amazon Security Lake takes from a custom source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from auth_common.monitoring.vocabulary import OCSFClass, SecurityEvent, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event in the catalogue."""

    succeeded: bool
    severity: Severity = Severity.INFORMATIONAL
    ocsf_class: OCSFClass
    #: OCSF's ``activity_id`` in that class; none for API activity, where the HTTP method says it.
    activity: int | None
    when: str
    #: What the Security team does about it.
    respond: str
    #: ``reason``, where there is one, and what it means.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Further fields (``unmapped`` in OCSF).
    fields: dict[str, str] = field(default_factory=dict)


#: What any event may have.
COMMON_FIELDS: Final = {"operator": "who ran the command that it comes from"}

_ENDED_SESSION: Final = {
    "session_unknown": "no such session",
    "session_revoked": "the session was ended",
    "session_expired": "the session has reached its absolute age",
    "token_expired": "past its lifetime",
    "token_version_changed": "an operator has ended all sessions or changed the account",
    "user_not_active": "the account is disabled",
}
_ACCOUNT: Final = {
    "account": "a keyed pseudonym of the address that was tried, where it has no account: counts addresses, names none"
}
_OPERATOR: Final = {"by_operator": "by an operator's command"}

CATALOGUE: Final[Mapping[SecurityEvent, Entry]] = {
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
            "unknown_passkey": "nobody has registered this credential",
            "passkey_of_another_user": "somebody else's passkey as second factor, or a false user handle",
            "not_valid": "a rule of WebAuthn is broken; `fault` says which",
            "sign_count_not_advanced": "of two answers with one counter, the later (perhaps a copied "
            "authenticator); or the passkey was deleted at that moment",
            "token_version_changed": "the account was changed between password and passkey",
            "user_verification_not_initialized": "alone, a key that was registered without PIN or biometry",
            "invalid_challenge": "unknown, expired, or answered before",
        },
        fields={**_ACCOUNT, "fault": "the rule of WebAuthn", "target": "whose login it was, with another's passkey"},
    ),
    SecurityEvent.AUTHN_LOGIN_FIRST_FACTOR: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.AUTHENTICATION,
        activity=6,
        when="the password was right, and the passkey is still to come",
        respond="Several without a login that follows: somebody knows the password (docs/runbooks/failed-logins.md).",
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
    SecurityEvent.AUTHN_PASSKEY_REMOVED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=11,
        when="the owner deletes a passkey, or an operator deletes all of a person's",
        respond="By an operator: there must be a request for it (docs/runbooks/lost-passkey.md).",
        reasons=_OPERATOR,
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
        when="sessions are ended by their owner, by a change of their passkeys, or by an operator",
        respond="Nothing by itself.",
        reasons={
            "by_owner": "a logout, or the end of other sessions",
            "passkey_added": "with the first passkey, all other sessions end",
            "passkey_removed": "with the deletion of a passkey, all other sessions end",
            **_OPERATOR,
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
    SecurityEvent.AUTHZ_CHANGE: Entry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.USER_ACCESS_MANAGEMENT,
        activity=1,
        when="an operator gives a role",
        respond="There must be a request for it, above all for `admin` and `security`.",
        reasons=_OPERATOR,
        fields={"role": "the new role"},
    ),
    SecurityEvent.AUTHZ_FAIL: Entry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="somebody with a valid token asks for what they may not have",
        respond="Several `not_self` of one account are a scan (docs/runbooks/authorization-failures.md).",
        reasons={
            "not_self": "another person's data",
            "role_not_sufficient": "the audit log, without the role for it",
            "login_too_old": "what needs a fresh login",
            "login_without_passkey": "what needs a login with a passkey",
        },
        fields={"target": "whose data"},
    ),
    SecurityEvent.INPUT_VALIDATION_FAIL: Entry(
        succeeded=False,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="a body or parameter is refused; its fields are named, their values are not",
        respond="Forms cause some. Fields that no form has are somebody probing.",
        fields={"fields": "those at fault"},
    ),
    SecurityEvent.PASSWORD_REHASH_FAIL: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="at a login, a hash of an old cost could not be replaced; the login went on",
        respond="Look at the database; the next login tries again.",
    ),
    SecurityEvent.SENSITIVE_READ: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=2,
        when="an admin reads another person's data, or somebody reads the audit log",
        respond="There must be an occasion for it.",
        reasons={**_OPERATOR, "audit_log": "a reading of the audit log through the API"},
        fields={
            "target": "whose data, or which part of the audit log",
            "filters": "what was asked for, but for an address",
        },
    ),
    SecurityEvent.SYS_CRYPTO_KEY_ROTATED: Entry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ENTITY_MANAGEMENT,
        activity=3,
        when="the signing key is rotated",
        respond="There must be a plan for it (docs/runbooks/rotate-signing-key.md).",
        fields={"kid": "the new key's id"},
    ),
    SecurityEvent.SYS_STARTUP: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.APPLICATION_LIFECYCLE,
        activity=3,
        when="a running environment begins its chain of the audit log: at its first audited event, and again after "
        "a record could not be stored",
        respond="Nothing by itself.",
    ),
    SecurityEvent.USER_CREATED: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=1,
        when="somebody registers; recorded in the transaction that stores the account",
        respond="Watch the rate (docs/runbooks/registration-spam.md).",
    ),
    SecurityEvent.USER_CREATION_FAIL: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=1,
        when="a registration is refused",
        respond="Many from one source are somebody finding out who has an account.",
        reasons={"email_taken": "the address has an account"},
    ),
    SecurityEvent.USER_DELETED: Entry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=6,
        when="an operator erases a person's account and data",
        respond="There must be a request for it.",
        reasons=_OPERATOR,
    ),
    SecurityEvent.USER_DISABLED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=5,
        when="an operator disables an account",
        respond="There must be a request for it.",
        reasons=_OPERATOR,
    ),
    SecurityEvent.USER_ENABLED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=2,
        when="an operator enables an account",
        respond="There must be a request for it.",
        reasons=_OPERATOR,
    ),
    SecurityEvent.USER_UPDATED: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="somebody renames a passkey",
        respond="Nothing by itself.",
        reasons={"passkey_renamed": "the name of a passkey"},
        fields={"passkey_id": "which"},
    ),
}

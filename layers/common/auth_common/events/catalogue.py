"""The catalogue of security events: what each means, how much it matters, what to do when it is seen.

docs/security-events.md is made from it (``make docs``). Names follow OWASP's Logging Vocabulary Cheat Sheet;
classes and activities are those of OCSF 1.3.0, the newest that Amazon Security Lake takes from a custom source.
"""

from collections.abc import Mapping
from typing import Final

from auth_common.events.authentication_events import AUTHENTICATION_EVENTS
from auth_common.events.catalogue_entry import ACCOUNT, BY_OPERATOR, Entry
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

#: What any event may have.
COMMON_FIELDS: Final = {"operator": "who ran the command that it comes from"}

CATALOGUE: Final[Mapping[SecurityEvent, Entry]] = {
    **AUTHENTICATION_EVENTS,
    SecurityEvent.AUTHZ_CHANGE: Entry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.USER_ACCESS_MANAGEMENT,
        activity=1,
        when="an operator gives a role",
        respond="There must be a request for it, above all for `admin` and `security`.",
        reasons=BY_OPERATOR,
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
            "no_step_up": "what needs a step-up token, without one, or with one that is not the session's",
            "step_up_expired": "the same, with a step-up token that has expired",
            "step_up_without_passkey": "what needs a step-up with a passkey, after one with the password",
            "passkey_added_meanwhile": "the end of a registration, after another passkey was added",
            "login_without_passkey": "the audit log, after a login without a passkey",
            "account_without_passkey": "the audit log, of an account that has no passkey any more",
        },
        fields={"target": "whose data"},
    ),
    SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED: Entry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="an attempt is refused because of a lock; recorded once a lock, counted by the metric each time",
        respond="One is a person in a hurry. The metric tells how many there were: see the runbook on failed logins.",
        reasons={
            **AUTHENTICATION_EVENTS[SecurityEvent.AUTHN_LOGIN_LOCK].reasons,
            "refresh_source": "with refresh tokens that are not valid, from one source",
            "registration_source": "registrations from one source",
            "session_proofs": "proofs of identity in one session, more at a time than may fail",
            "step_up_challenge": "step-ups with a passkey that are begun, in one session",
            "registration_challenge": "registrations of a passkey that are begun, in one session",
            "invalid_challenge": "responses to challenges that are not valid, in one session: not recorded",
            "bad_input_source": "refused bodies and queries from one source: answered as before, and not recorded",
        },
        fields=ACCOUNT,
    ),
    SecurityEvent.INPUT_VALIDATION_FAIL: Entry(
        succeeded=False,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="a body or parameter is rejected; its fields are named, their values are not. The audit log records a "
        "limited number per client IP, and none for a route that has no input. The metric counts all",
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
        reasons={**BY_OPERATOR, "audit_log": "a reading of the audit log through the API"},
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
        reasons=BY_OPERATOR,
    ),
    SecurityEvent.USER_DISABLED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=5,
        when="an operator disables an account",
        respond="There must be a request for it.",
        reasons=BY_OPERATOR,
    ),
    SecurityEvent.USER_ENABLED: Entry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=2,
        when="an operator enables an account",
        respond="There must be a request for it.",
        reasons=BY_OPERATOR,
    ),
    SecurityEvent.USER_UPDATED: Entry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="somebody renames a passkey, or an operator ends the locks on an account",
        respond="Nothing by itself.",
        reasons={
            "passkey_renamed": "the name of a passkey",
            "unlocked_by_operator": "failed logins were forgotten, by an operator's command",
        },
        fields={"passkey_id": "which"},
    ),
}

"""The catalogue of security events: the meaning and severity of each, and what the security team should do.

docs/security-events.md is made from it (``make docs``). Names follow OWASP's Logging Vocabulary Cheat Sheet. Classes
and activities are those of OCSF 1.3.0, the newest version that Amazon Security Lake accepts from a custom source.
"""

from collections.abc import Mapping
from typing import Final

from auth_common.events.catalogue.authentication import AUTHENTICATION_EVENTS
from auth_common.events.catalogue.clients import CLIENT_EVENTS
from auth_common.events.catalogue.entry import ACCOUNT, BY_OPERATOR, MAIL_TOKEN_REJECTIONS, NO_MAIL, CatalogueEntry
from auth_common.events.catalogue.mail import MAIL_EVENTS
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

#: The fields that any event may have.
COMMON_FIELDS: Final = {"operator": "the operator whose command caused the event"}

CATALOGUE: Final[Mapping[SecurityEvent, CatalogueEntry]] = {
    **AUTHENTICATION_EVENTS,
    SecurityEvent.AUTHZ_CHANGE: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.USER_ACCESS_MANAGEMENT,
        activity=1,
        when="an operator changes the role of an account",
        respond="There must be a request for it, especially for `admin` and `security`.",
        reasons=BY_OPERATOR,
        fields={"role": "the new role"},
    ),
    SecurityEvent.AUTHZ_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="a caller with a valid token sends a request that this caller may not send",
        respond="Several `not_self` of one account mean that a client scans ids "
        "(docs/runbooks/authorization-failures.md).",
        reasons={
            "not_self": "a request for another user's data",
            "role_not_sufficient": "a request for the audit log, without the required role",
            "no_step_up": "a sensitive request without a step-up token, or with another session's",
            "step_up_expired": "a sensitive request with an expired step-up token",
            "step_up_without_passkey": "a request that needs a step-up with a passkey, after one with the password",
            "email_not_verified": "a request to change the address of an account whose address is not verified",
            "passkey_added_meanwhile": "a registration that was completed after another passkey was added",
            "login_without_passkey": "a request for the audit log, after a login without a passkey",
            "account_without_passkey": "a request for the audit log, by an account that no longer has a passkey",
        },
        fields={"target": "the user whose data was requested"},
    ),
    SecurityEvent.AUTHZ_INTROSPECTION_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="a client introspects a token that is not for it. The response is `active: false`. The audit log records "
        "a limited number per client, and the metric counts all",
        respond="Users and attackers can send such tokens to a service, which asks about them. If the service did not "
        "get them by its own API, its credential may be in other hands (docs/runbooks/foreign-introspection.md).",
        reasons={
            "other_audience": "the token is valid, and for another service",
            "other_token_type": "a refresh, step-up or mail token, an `mfa_token`, or the secret of a client. No "
            "service should have it",
            "client_may_not_introspect": "the client has no permission to introspect, or no audience",
        },
        fields={
            "client": "the name of the client that asked",
            "subject": "the `sub` of a valid token",
        },
    ),
    **CLIENT_EVENTS,
    SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="an attempt is rejected because of a lockout or a limit. The audit log records the first of each lockout, "
        "and the metric counts all. A mail that a limit stops silently (`mail_address`, `mail_address_day`, "
        "`mail_address_source`, and `mail_source` at a registration) is counted and has a log line, and no audit "
        "record",
        respond="A single one comes from an impatient user. The metric has the number of attempts "
        "(docs/runbooks/failed-logins.md). The log lines `attempt rejected` name the limits of each rejection that has "
        "no audit record, and for a requested mail the account.",
        reasons={
            **AUTHENTICATION_EVENTS[SecurityEvent.AUTHN_LOGIN_LOCK].reasons,
            "refresh_source": "refresh tokens that are not valid, from one client IP",
            "client_source": "clients that failed to authenticate, from one client IP. Valid credentials are accepted",
            "client": "failed authentications of one client. Valid credentials are accepted",
            "introspection": "inactive tokens that one client introspects. They get the usual response and are not "
            "recorded",
            "registration_source": "registrations from one client IP",
            "mail_source": "requests for a mail from one client IP",
            "mail_token_source": "links and codes of mails that are not valid, from one client IP",
            "credential_change": "changes of the password and new passkeys of one account within a day",
            "email_change": "requests of one account to change its address within a day",
            "mail_code": "wrong codes at one address within a day. The link in the mail still works",
            "session_proofs": "more concurrent proofs of identity in one session than may fail",
            "step_up_challenge": "step-ups with a passkey that one session began",
            "registration_challenge": "registrations of a passkey that one session began",
            "invalid_challenge": "responses of one session to challenges that are not valid. They are not recorded",
            "bad_input_source": "rejected bodies and queries from one client IP. They get the usual response and are "
            "not recorded",
        },
        fields=ACCOUNT,
    ),
    SecurityEvent.INPUT_VALIDATION_FAIL: CatalogueEntry(
        succeeded=False,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=None,
        when="a body or parameter is rejected. The event names the fields and contains no values. The audit log "
        "records a limited number per client IP, and none for a route that has no input. The metric counts all",
        respond="Mistakes in forms cause some. Field names that no client uses come from an attacker.",
        fields={"fields": "the rejected fields"},
    ),
    **MAIL_EVENTS,
    SecurityEvent.PASSWORD_REHASH_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=3,
        when="a login succeeds, but its password hash of an old cost could not be replaced",
        respond="Check the database. The next login tries again.",
    ),
    SecurityEvent.SENSITIVE_READ: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=2,
        when="an admin reads another user's data, or the audit log is read",
        respond="There must be a reason for it.",
        reasons={**BY_OPERATOR, "audit_log": "the audit log was read through the API"},
        fields={
            "target": "the user whose data was read, or the part of the audit log",
            "filters": "the query, without its client IP",
        },
    ),
    SecurityEvent.SYS_CRYPTO_KEY_ROTATED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ENTITY_MANAGEMENT,
        activity=3,
        when="the signing key is rotated",
        respond="There must be a plan for it (docs/runbooks/rotate-signing-key.md).",
        fields={"kid": "the id of the new key"},
    ),
    SecurityEvent.SYS_STARTUP: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.APPLICATION_LIFECYCLE,
        activity=3,
        when="an environment begins a chain of the audit log: at its first audited event, and again after a record "
        "could not be stored",
        respond="Nothing.",
    ),
    SecurityEvent.USER_CREATED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=1,
        when="a user registers. It is recorded in the transaction that stores the account",
        respond="Watch the rate (docs/runbooks/registration-spam.md).",
    ),
    SecurityEvent.USER_CREATION_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=1,
        when="a registration is rejected",
        respond="Many from one client IP mean that an attacker looks for e-mail addresses that have an account.",
        reasons={"email_taken": "the e-mail address has an account, or is reserved for one that has changed it"},
    ),
    SecurityEvent.USER_DELETED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=6,
        when="an account and the user's data are deleted",
        respond="By an operator: there must be a request for it. An address that is claimed was registered by another "
        "user before: look at that account's earlier records.",
        reasons={
            **BY_OPERATOR,
            "address_claimed": "the user of the mailbox registered again, and replaced an unverified account",
            "never_used": "the user had neither logged in nor verified the address within 30 days",
        },
    ),
    SecurityEvent.USER_DISABLED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=5,
        when="an operator disables an account",
        respond="There must be a request for it.",
        reasons=BY_OPERATOR,
    ),
    SecurityEvent.USER_EMAIL_CHANGE_REQUESTED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="a user asks to change the address of the account. The response is the same for every reason",
        respond="Many `email_taken` of one account mean that its user looks for addresses that have an account, and "
        "learns nothing.",
        reasons={
            "mail_queued": "the new address gets a mail with a link and a code",
            "email_taken": "the new address has an account, whose user is told",
            "address_reserved": "the new address was another account's within 72 hours, and nothing is sent",
            "own_address": "the new address is the account's own, and nothing is sent",
        },
        fields={"session_id": "the session"},
    ),
    SecurityEvent.USER_EMAIL_CHANGED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="the address of an account changes. The old address gets a notice, and is reserved for 72 hours",
        respond="By an operator: there must be a request for it. `undone` means that an attacker had changed the "
        "address: look at the account's earlier records.",
        reasons={
            **BY_OPERATOR,
            "by_mail": "the user sent a link's token or a code of the new address, and the password or an access token",
            "undone": "the user of the old address restored it",
        },
    ),
    SecurityEvent.USER_EMAIL_VERIFICATION_REQUESTED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="a client asks for a verification mail. The response is the same for every reason",
        respond="Many for unknown addresses mean that an attacker looks for accounts, and learns nothing.",
        reasons={
            "mail_queued": "a mail with a link and a code is sent",
            **NO_MAIL,
            "already_verified": "the address is verified, and nothing is sent",
        },
        fields=ACCOUNT,
    ),
    SecurityEvent.USER_EMAIL_VERIFIED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="an address is verified",
        respond="By an operator: there must be a request for it.",
        reasons={
            **BY_OPERATOR,
            "by_mail": "the user sent a link's token or a code, and the password or an access token",
            "by_registration": "the user registered with the link of a mail",
        },
    ),
    SecurityEvent.USER_EMAIL_VERIFY_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="a verification, a change of the address, or a registration with the link of a mail, is rejected",
        respond="Old links cause some. `wrong_password` or `other_account` can mean that an attacker registered the "
        "address of another user, who has opened the link. Many `wrong_code` are guesses.",
        reasons={
            **MAIL_TOKEN_REJECTIONS,
            "wrong_code": "no valid code of this address matches",
            "wrong_password": "the link or code is valid, and the password is wrong",
            "other_address": "a registration with the link that was sent to another address",
            "other_account": "the link or code is valid, and the access token is of another account",
            "already_verified": "the address is verified by now",
            "not_verified": "a change of the address, after an operator has changed it to one that is not verified",
            "address_taken": "a change of the address, after another account got the new one or had it before",
        },
    ),
    SecurityEvent.USER_ENABLED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=2,
        when="an operator enables an account",
        respond="There must be a request for it.",
        reasons=BY_OPERATOR,
    ),
    SecurityEvent.USER_SECURE_FAIL: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when='the token of a link "this was not me" is rejected',
        respond="Old links cause some.",
        reasons={
            name: MAIL_TOKEN_REJECTIONS[name]
            for name in ("mail_token_unknown", "mail_token_expired", "mail_token_used", "unknown_user")
        },
    ),
    SecurityEvent.USER_SECURED: CatalogueEntry(
        succeeded=True,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when='a user says by the link in a notice that the event was not their own ("this was not me"). The password '
        "no longer works, all sessions are revoked, and passkeys added since the event are deleted",
        respond="An attacker may have had the account. Look at its records since the event "
        "(docs/runbooks/secured-accounts.md).",
        fields={
            "since": "when the event of the notice was",
            "passkeys_removed": "how many passkeys were deleted",
        },
    ),
    SecurityEvent.USER_UPDATED: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.ACCOUNT_CHANGE,
        activity=99,
        when="a user renames a passkey, or an operator unlocks an account or clears a bounce",
        respond="Nothing.",
        reasons={
            "passkey_renamed": "the user renamed a passkey",
            "bounce_cleared_by_operator": "an operator's command lets mail go to an address again that had bounced",
            "unlocked_by_operator": "an operator's command deleted the account's failed attempts",
        },
        fields={"passkey_id": "the passkey"},
    ),
}

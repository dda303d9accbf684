// What each security event means and what to do about it: the catalogue of events, in the page's language. Made by
// `make docs` from layers/common/auth_common/events/catalogue/__init__.py.

export const EVENT_MEANINGS = {
  "authn_client_fail": {
    "when": "the authentication of a client fails",
    "respond": "A client with an old secret causes several. `assertion_replayed` means that an attacker may have read a request of the client (docs/runbooks/client-authentication.md).",
    "reasons": {
      "no_credentials": "the request has neither a secret nor an assertion",
      "malformed_credentials": "the header, the name or the assertion is malformed, or its algorithm is not accepted",
      "unknown_client": "no client has the name",
      "wrong_method": "the client is registered for a secret and sent an assertion, or the reverse, or its assertion has another algorithm",
      "wrong_secret": "the secret is wrong, or was ended by a rotation",
      "assertion_not_valid": "the signature, the audience, the expiry or another claim of the assertion is wrong",
      "assertion_replayed": "the assertion was used before"
    }
  },
  "authn_client_token_created": {
    "when": "a client gets an access token of its own",
    "respond": "Usually nothing. `old` after a rotation means that the client does not use the new credential yet.",
    "reasons": {}
  },
  "authn_login_fail": {
    "when": "a login fails",
    "respond": "A single one is a typing error. Watch the rate (docs/runbooks/failed-logins.md) and the number of accounts.",
    "reasons": {
      "unknown_user": "no account has the e-mail address",
      "wrong_password": "the account exists and the password is wrong",
      "email_not_verified": "the account's address must be verified before the first login",
      "user_not_active": "the credentials are right and the account is disabled",
      "unknown_passkey": "no user has registered this credential, or it was deleted during the login",
      "passkey_of_another_user": "the second factor is another user's passkey, or the user handle is wrong",
      "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
      "sign_count_not_advanced": "the counter of a device-bound passkey did not advance. The authenticator may have been copied",
      "passkey_inconsistent": "a synced passkey without a password has an unexpected counter or backup eligibility. `authn_passkey_inconsistent` says which, and the response asks for the password",
      "token_version_changed": "the account was changed during this login",
      "user_verification_not_initialized": "the passkey was registered without PIN or biometry, so it is not accepted without a password",
      "invalid_challenge": "the challenge is unknown, expired or already used"
    }
  },
  "authn_login_first_factor": {
    "when": "the password is right and the login now requires the passkey",
    "respond": "Several without a login afterwards mean that an attacker knows the password (docs/runbooks/failed-logins.md).",
    "reasons": {}
  },
  "authn_login_lock": {
    "when": "a lockout begins after too many failed logins. It is recorded once per lockout",
    "respond": "During the lockout of an account, its user can still log in from a known client IP or with a passkey alone. Find out which client IPs the attempts came from.",
    "reasons": {
      "login_account_source": "wrong passwords for one account from one client IP",
      "login_account": "wrong passwords for one account from client IPs that are not known for it",
      "login_source": "wrong passwords from one client IP",
      "second_factor": "wrong second factors for one account. The attacker knows its password",
      "passkey_source": "passkey logins that failed, from one client IP"
    }
  },
  "authn_login_success": {
    "when": "a login with a password or a passkey succeeds. It is recorded in the transaction that opens the session",
    "respond": "Usually nothing. Investigate a success after many failures of the same account (docs/runbooks/password-spraying.md).",
    "reasons": {}
  },
  "authn_passkey_added": {
    "when": "a user adds a passkey",
    "respond": "If the client IP is new for the account, ask the user.",
    "reasons": {}
  },
  "authn_passkey_inconsistent": {
    "when": "a synced passkey gives a valid signature, but its counter or backup eligibility contradicts the stored record. With the password it is accepted and the new values are stored",
    "respond": "A single one comes from an update of a password manager, or from a second one. Ask the user if it repeats or if the client IP is new for the account, because a copy of the key looks the same (docs/runbooks/lost-passkey.md).",
    "reasons": {
      "sign_count_not_advanced": "the counter did not advance",
      "backup_eligibility_changed": "a device-bound passkey became synced, or the reverse"
    }
  },
  "authn_passkey_rejected": {
    "when": "a passkey could not be registered",
    "respond": "Investigate repeated `not_valid`: it is an attack on the ceremony or an incompatible authenticator.",
    "reasons": {
      "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
      "invalid_challenge": "the challenge is unknown, expired, already used, or belongs to another session",
      "registered_already": "this credential is registered already",
      "too_many_passkeys": "the account has the maximum number of passkeys"
    }
  },
  "authn_passkey_removed": {
    "when": "a user deletes a passkey, or an operator deletes passkeys of an account",
    "respond": "If an operator did it, there must be a request for it (docs/runbooks/lost-passkey.md).",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "authn_password_change": {
    "when": "a user changes their password. It is recorded in the transaction that stores the new password hash",
    "respond": "If the client IP is new for the account, ask the user.",
    "reasons": {}
  },
  "authn_password_change_fail": {
    "when": "a logged-in user tries to change the password with a wrong current password",
    "respond": "One is a typing error. Several mean that the client has an access token without the password (docs/runbooks/failed-step-ups.md).",
    "reasons": {
      "wrong_password": "the current password is wrong",
      "changed_meanwhile": "the current password was right, and a new one was stored while it was checked. This attempt is not counted"
    }
  },
  "authn_password_reset": {
    "when": "a user sets a new password by the link of a mail. All sessions are revoked",
    "respond": "If the client IP is new for the account, ask the user: an attacker may read the mailbox.",
    "reasons": {}
  },
  "authn_password_reset_fail": {
    "when": "the token of a password reset is rejected",
    "respond": "Old links cause some.",
    "reasons": {
      "mail_token_unknown": "the token is unknown, was used, or is for another purpose",
      "mail_token_expired": "the token has expired",
      "mail_token_used": "a concurrent request used the token first",
      "unknown_user": "the account does not exist any more",
      "user_not_active": "the account is disabled",
      "address_changed": "the account has another address",
      "token_version_changed": "the password or role was changed, or all sessions were revoked, after the mail was sent",
      "not_verified": "the address is not verified any more"
    }
  },
  "authn_password_reset_requested": {
    "when": "a client asks for a password reset. The response is the same for every reason",
    "respond": "Many for different accounts mean that an attacker floods mailboxes, or looks for accounts (docs/runbooks/mail-requests.md).",
    "reasons": {
      "by_operator": "by an operator's command",
      "mail_queued": "a mail with a link is sent",
      "address_not_verified": "a mail with a link to register again is sent",
      "unknown_user": "the address has no account, and nothing is sent",
      "user_not_active": "the account is disabled, and nothing is sent"
    }
  },
  "authn_step_up_fail": {
    "when": "a logged-in user fails to prove their identity",
    "respond": "One is a typing error. Several mean that the client has an access token without the password (docs/runbooks/failed-step-ups.md).",
    "reasons": {
      "wrong_password": "the password is wrong",
      "unknown_passkey": "no user has registered this credential, or it was deleted during the step-up",
      "passkey_of_another_user": "the passkey belongs to another user, or the user handle is wrong",
      "not_valid": "the response breaks a rule of WebAuthn, which `fault` names",
      "sign_count_not_advanced": "the counter of a device-bound passkey did not advance. The authenticator may have been copied",
      "token_version_changed": "the account was changed during this step-up",
      "passkey_not_enough": "the passkey is genuine and did not verify the user, and the request has no password",
      "passkey_inconsistent": "the passkey is genuine and synced, with an unexpected counter or backup eligibility, and the request has no password. This attempt is not counted",
      "invalid_challenge": "the challenge is unknown, expired, already used, or belongs to another session. This attempt is not counted"
    }
  },
  "authn_step_up_fail_max": {
    "when": "the fifth wrong proof of identity in a session, at a step-up or a change of the password, revokes it",
    "respond": "An attacker may have a copy of the session's tokens (docs/runbooks/failed-step-ups.md).",
    "reasons": {}
  },
  "authn_step_up_success": {
    "when": "a logged-in user proves their identity again. It is recorded in the transaction that stores the step-up token",
    "respond": "Usually nothing. It precedes a change of passkeys or the revocation of other sessions.",
    "reasons": {}
  },
  "authn_token_created": {
    "when": "a login or a refresh returns tokens. It is recorded in the transaction that stores the refresh token",
    "respond": "Nothing.",
    "reasons": {}
  },
  "authn_token_rejected": {
    "when": "an access token, a refresh token or an `mfa_token` is rejected. The authorizer records a token once while the gateway caches its decision. A function records an access token whose session is no longer valid",
    "respond": "Clients with old tokens cause some. A spike is an attack (docs/runbooks/rejected-tokens.md).",
    "reasons": {
      "session_unknown": "the session does not exist",
      "session_revoked": "the session was revoked",
      "session_expired": "the session has reached its absolute age",
      "token_expired": "the token has expired",
      "token_version_changed": "the password was changed, or an operator changed the account or revoked all its sessions",
      "user_not_active": "the account is disabled",
      "invalid_token": "the authorizer or an introspection rejected the signature or a claim, such as the expiry",
      "client_unknown": "the client of an introspected service token was removed",
      "invalid_mfa_token": "the `mfa_token` was not issued by this service, or has expired",
      "unknown_token": "the refresh token was never issued, or was deleted long ago",
      "storage_not_mounted": "the keys could not be read",
      "service_unavailable": "the keys could not be read"
    }
  },
  "authn_token_reuse": {
    "when": "a client presents a spent refresh token again, to exchange or to revoke it. Its session is revoked (RFC 9700 section 4.14)",
    "respond": "An attacker may have had the token (docs/runbooks/token-reuse.md).",
    "reasons": {
      "spent_token_reused": "the grace period is over, or the token is not the parent of the live token"
    }
  },
  "authn_token_revoked": {
    "when": "sessions are revoked by their user, by a change of the user's passkeys or password, by the next login of the same client, or by an operator",
    "respond": "Nothing.",
    "reasons": {
      "by_owner": "the user logged out or revoked other sessions",
      "by_refresh_token": "a client revoked its refresh token (RFC 7009), which was the proof",
      "passkey_added": "a new passkey revokes all other sessions",
      "passkey_removed": "the deletion of a passkey revokes all other sessions",
      "password_changed": "a new password revokes all other sessions",
      "replaced_by_login": "the client of the session logged in again, as the same user or as another",
      "password_reset": "a password reset revokes all sessions, and every login that is under way",
      "account_secured": "the link \"this was not me\" of a notice revokes all sessions",
      "by_operator": "by an operator's command"
    }
  },
  "authz_change": {
    "when": "an operator changes the role of an account",
    "respond": "There must be a request for it, especially for `admin` and `security`.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "authz_fail": {
    "when": "a caller with a valid token sends a request that this caller may not send",
    "respond": "Several `not_self` of one account mean that a client scans ids (docs/runbooks/authorization-failures.md).",
    "reasons": {
      "not_self": "a request for another user's data",
      "role_not_sufficient": "a request for the audit log, without the required role",
      "no_step_up": "a sensitive request without a step-up token, or with another session's",
      "step_up_expired": "a sensitive request with an expired step-up token",
      "step_up_without_passkey": "a request that needs a step-up with a passkey, after one with the password",
      "email_not_verified": "a request to change the address of an account whose address is not verified",
      "passkey_added_meanwhile": "a registration that was completed after another passkey was added",
      "login_without_passkey": "a request for the audit log, after a login without a passkey",
      "account_without_passkey": "a request for the audit log, by an account that no longer has a passkey"
    }
  },
  "authz_introspection_fail": {
    "when": "a client introspects a token that is not for it. The response is `active: false`. The audit log records a limited number per client, and the metric counts all",
    "respond": "Users and attackers can send such tokens to a service, which asks about them. If the service did not get them by its own API, its credential may be in other hands (docs/runbooks/foreign-introspection.md).",
    "reasons": {
      "other_audience": "the token is valid, and for another service",
      "other_token_type": "a refresh, step-up or mail token, an `mfa_token`, or the secret of a client. No service should have it",
      "client_may_not_introspect": "the client has no permission to introspect, or no audience"
    }
  },
  "client_created": {
    "when": "an operator registers a client",
    "respond": "There must be a request for it, especially for one that may introspect.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "client_credential_changed": {
    "when": "an operator rotates the credential of a client, or ends the old one",
    "respond": "There must be a plan for it, or an incident for `old_ended_now`.",
    "reasons": {
      "rotated": "a new credential, and the one before stays valid",
      "old_ended_now": "a new credential, and all others are no longer valid",
      "old_ended": "the credential before the last rotation is no longer valid"
    }
  },
  "client_deleted": {
    "when": "an operator removes a client",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "excess_rate_limit_exceeded": {
    "when": "an attempt is rejected because of a lockout or a limit. The audit log records the first of each lockout, and the metric counts all. A mail that a limit stops silently (`mail_address`, `mail_address_day`, `mail_address_source`, and `mail_source` at a registration) is counted and has a log line, and no audit record",
    "respond": "A single one comes from an impatient user. The metric has the number of attempts (docs/runbooks/failed-logins.md). The log lines `attempt rejected` name the limits of each rejection that has no audit record, and for a requested mail the account.",
    "reasons": {
      "login_account_source": "wrong passwords for one account from one client IP",
      "login_account": "wrong passwords for one account from client IPs that are not known for it",
      "login_source": "wrong passwords from one client IP",
      "second_factor": "wrong second factors for one account. The attacker knows its password",
      "passkey_source": "passkey logins that failed, from one client IP",
      "refresh_source": "refresh tokens that are not valid, from one client IP",
      "client_source": "clients that failed to authenticate, from one client IP. Valid credentials are accepted",
      "client": "failed authentications of one client. Valid credentials are accepted",
      "introspection": "inactive tokens that one client introspects. They get the usual response and are not recorded",
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
      "bad_input_source": "rejected bodies and queries from one client IP. They get the usual response and are not recorded"
    }
  },
  "input_validation_fail": {
    "when": "a body or parameter is rejected. The event names the fields and contains no values. The audit log records a limited number per client IP, and none for a route that has no input. The metric counts all",
    "respond": "Mistakes in forms cause some. Field names that no client uses come from an attacker.",
    "reasons": {}
  },
  "mail_bounced": {
    "when": "the provider reports that it could not deliver a mail that it had accepted",
    "respond": "A single one comes from a typing error in an address. Many mean that an attacker registers invented addresses, and may cost the domain its reputation (docs/runbooks/mail-bounces.md).",
    "reasons": {
      "permanent": "the mailbox does not exist, or rejects our mails for good",
      "transient": "the provider has tried for its whole period, for example because the mailbox was full",
      "complaint": "the mailbox's user has reported the mail as spam"
    }
  },
  "mail_failed": {
    "when": "the service gives up a mail. Its content is wiped",
    "respond": "The user did not get the mail, and can request most kinds again. Several mean that the provider or the settings of mail have a fault (docs/runbooks/mail-failures.md).",
    "reasons": {
      "attempts_used_up": "every attempt failed. `cause` says how the last one did",
      "expired": "the mail was not worth sending any more, for example because its link has expired",
      "outcome_unknown": "two senders in a row ended before they recorded an outcome. The mail was sent at most twice",
      "refused": "the provider rejects the mail for good. `cause` says why",
      "unreadable": "the content cannot be decrypted, because the user was erased or an attacker changed the row"
    }
  },
  "mail_paused": {
    "when": "more than 3 % of the mails of a day bounce. Mails to addresses that were never verified wait",
    "respond": "An attacker probably registers invented addresses. New users cannot verify their address meanwhile (docs/runbooks/mail-paused.md).",
    "reasons": {}
  },
  "mail_resumed": {
    "when": "mails to addresses that were never verified are sent again",
    "respond": "Nothing.",
    "reasons": {
      "by_operator": "by an operator's command",
      "rate_fell": "the bounce rate of the last day is low enough"
    }
  },
  "mail_sent": {
    "when": "the provider accepts a mail",
    "respond": "Nothing.",
    "reasons": {}
  },
  "password_rehash_fail": {
    "when": "a login succeeds, but its password hash of an old cost could not be replaced",
    "respond": "Check the database. The next login tries again.",
    "reasons": {}
  },
  "sensitive_read": {
    "when": "an admin reads another user's data, or the audit log is read",
    "respond": "There must be a reason for it.",
    "reasons": {
      "by_operator": "by an operator's command",
      "audit_log": "the audit log was read through the API"
    }
  },
  "sys_crypto_key_rotated": {
    "when": "the signing key is rotated",
    "respond": "There must be a plan for it (docs/runbooks/rotate-signing-key.md).",
    "reasons": {}
  },
  "sys_startup": {
    "when": "an environment begins a chain of the audit log: at its first audited event, and again after a record could not be stored",
    "respond": "Nothing.",
    "reasons": {}
  },
  "user_created": {
    "when": "a user registers. It is recorded in the transaction that stores the account",
    "respond": "Watch the rate (docs/runbooks/registration-spam.md).",
    "reasons": {}
  },
  "user_creation_fail": {
    "when": "a registration is rejected",
    "respond": "Many from one client IP mean that an attacker looks for e-mail addresses that have an account.",
    "reasons": {
      "email_taken": "the e-mail address has an account, or is reserved for one that has changed it"
    }
  },
  "user_deleted": {
    "when": "an account and the user's data are deleted",
    "respond": "By an operator: there must be a request for it. An address that is claimed was registered by another user before: look at that account's earlier records.",
    "reasons": {
      "by_operator": "by an operator's command",
      "address_claimed": "the user of the mailbox registered again, and replaced an unverified account",
      "never_used": "the user had neither logged in nor verified the address within 30 days"
    }
  },
  "user_disabled": {
    "when": "an operator disables an account",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "user_email_change_requested": {
    "when": "a user asks to change the address of the account. The response is the same for every reason",
    "respond": "Many `email_taken` of one account mean that its user looks for addresses that have an account, and learns nothing.",
    "reasons": {
      "mail_queued": "the new address gets a mail with a link and a code",
      "email_taken": "the new address has an account, whose user is told",
      "address_reserved": "the new address was another account's within 72 hours, and nothing is sent",
      "own_address": "the new address is the account's own, and nothing is sent"
    }
  },
  "user_email_changed": {
    "when": "the address of an account changes. The old address gets a notice, and is reserved for 72 hours",
    "respond": "By an operator: there must be a request for it. `undone` means that an attacker had changed the address: look at the account's earlier records.",
    "reasons": {
      "by_operator": "by an operator's command",
      "by_mail": "the user sent a link's token or a code of the new address, and the password or an access token",
      "undone": "the user of the old address restored it"
    }
  },
  "user_email_verification_requested": {
    "when": "a client asks for a verification mail. The response is the same for every reason",
    "respond": "Many for unknown addresses mean that an attacker looks for accounts, and learns nothing.",
    "reasons": {
      "mail_queued": "a mail with a link and a code is sent",
      "unknown_user": "the address has no account, and nothing is sent",
      "user_not_active": "the account is disabled, and nothing is sent",
      "already_verified": "the address is verified, and nothing is sent"
    }
  },
  "user_email_verified": {
    "when": "an address is verified",
    "respond": "By an operator: there must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command",
      "by_mail": "the user sent a link's token or a code, and the password or an access token",
      "by_registration": "the user registered with the link of a mail"
    }
  },
  "user_email_verify_fail": {
    "when": "a verification, a change of the address, or a registration with the link of a mail, is rejected",
    "respond": "Old links cause some. `wrong_password` or `other_account` can mean that an attacker registered the address of another user, who has opened the link. Many `wrong_code` are guesses.",
    "reasons": {
      "mail_token_unknown": "the token is unknown, was used, or is for another purpose",
      "mail_token_expired": "the token has expired",
      "mail_token_used": "a concurrent request used the token first",
      "unknown_user": "the account does not exist any more",
      "user_not_active": "the account is disabled",
      "address_changed": "the account has another address",
      "token_version_changed": "the password or role was changed, or all sessions were revoked, after the mail was sent",
      "wrong_code": "no valid code of this address matches",
      "wrong_password": "the link or code is valid, and the password is wrong",
      "other_address": "a registration with the link that was sent to another address",
      "other_account": "the link or code is valid, and the access token is of another account",
      "already_verified": "the address is verified by now",
      "not_verified": "a change of the address, after an operator has changed it to one that is not verified",
      "address_taken": "a change of the address, after another account got the new one or had it before"
    }
  },
  "user_enabled": {
    "when": "an operator enables an account",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "user_secure_fail": {
    "when": "the token of a link \"this was not me\" is rejected",
    "respond": "Old links cause some.",
    "reasons": {
      "mail_token_unknown": "the token is unknown, was used, or is for another purpose",
      "mail_token_expired": "the token has expired",
      "mail_token_used": "a concurrent request used the token first",
      "unknown_user": "the account does not exist any more"
    }
  },
  "user_secured": {
    "when": "a user says by the link in a notice that the event was not their own (\"this was not me\"). The password no longer works, all sessions are revoked, and passkeys added since the event are deleted",
    "respond": "An attacker may have had the account. Look at its records since the event (docs/runbooks/secured-accounts.md).",
    "reasons": {}
  },
  "user_updated": {
    "when": "a user renames a passkey, or an operator unlocks an account or clears a bounce",
    "respond": "Nothing.",
    "reasons": {
      "passkey_renamed": "the user renamed a passkey",
      "bounce_cleared_by_operator": "an operator's command lets mail go to an address again that had bounced",
      "unlocked_by_operator": "an operator's command deleted the account's failed attempts"
    }
  }
};

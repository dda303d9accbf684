// What each security event means and what to do about it: the catalogue of events, in the page's language. Made by
// `make docs` from layers/common/auth_common/events/catalogue.py.

export const EVENT_MEANINGS = {
  "authn_login_fail": {
    "when": "a login fails",
    "respond": "One is a typing error. Watch the rate (docs/runbooks/failed-logins.md) and the number of accounts.",
    "reasons": {
      "unknown_user": "no account has the address",
      "wrong_password": "the account is there, the password is another",
      "user_not_active": "right, but the account is disabled",
      "unknown_passkey": "no user has registered this credential, or it was deleted at that moment",
      "passkey_of_another_user": "somebody else's passkey as second factor, or a false user handle",
      "not_valid": "a rule of WebAuthn is broken; `fault` says which",
      "sign_count_not_advanced": "the counter of a passkey that is bound to one device did not advance: perhaps a copied authenticator",
      "passkey_inconsistent": "a synced passkey alone, with a counter or backup eligibility that does not fit: `authn_passkey_inconsistent` says which, and the response asks for the password",
      "token_version_changed": "the account was changed while this login was under way",
      "user_verification_not_initialized": "alone, a key that was registered without PIN or biometry",
      "invalid_challenge": "unknown, expired, or answered before"
    }
  },
  "authn_login_first_factor": {
    "when": "the password was right, and the passkey is still to come",
    "respond": "Several without a login that follows: somebody knows the password (docs/runbooks/failed-logins.md).",
    "reasons": {}
  },
  "authn_login_lock": {
    "when": "too many logins, or changes of a password, have failed, and a lock begins; once a lock",
    "respond": "At an account's lock the owner can still log in from a known address, or with a passkey alone. Look where it came from.",
    "reasons": {
      "login_account_source": "with the password of one account, from one source",
      "login_account": "with the password of one account, from sources that it is not known to use",
      "login_source": "with passwords, from one source",
      "second_factor": "with the second factor of one account: somebody knows its password",
      "passkey_source": "with passkeys, from one source"
    }
  },
  "authn_login_success": {
    "when": "a login succeeds, by password or by passkey; recorded in the transaction that opens the session",
    "respond": "Nothing by itself. After many failures of one account (docs/runbooks/password-spraying.md).",
    "reasons": {}
  },
  "authn_passkey_added": {
    "when": "somebody adds a passkey",
    "respond": "From an address that is new for the account: ask its owner.",
    "reasons": {}
  },
  "authn_passkey_inconsistent": {
    "when": "a synced passkey gives a valid signature, but its counter or backup eligibility does not fit the stored record; with the password it is accepted and the new values are stored",
    "respond": "Once is an update of a password manager, or a second one. Repeated, or from a client IP that is new for the account: ask the user, because a copy of the key looks the same (docs/runbooks/lost-passkey.md).",
    "reasons": {
      "sign_count_not_advanced": "the counter did not advance",
      "backup_eligibility_changed": "a passkey bound to one device became synced, or the reverse"
    }
  },
  "authn_passkey_rejected": {
    "when": "a passkey could not be registered",
    "respond": "Repeated `not_valid`: an attack on the ceremony, or an authenticator that should be looked at.",
    "reasons": {
      "not_valid": "a rule of WebAuthn is broken; `fault` says which",
      "invalid_challenge": "unknown, expired, answered before, or another's",
      "registered_already": "somebody has registered this credential",
      "too_many_passkeys": "the account has as many as it may have"
    }
  },
  "authn_passkey_removed": {
    "when": "the owner deletes a passkey, or an operator deletes all of a person's",
    "respond": "By an operator: there must be a request for it (docs/runbooks/lost-passkey.md).",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "authn_password_change": {
    "when": "somebody changes their password; recorded in the transaction that stores the new one",
    "respond": "From an address that is new for the account: ask its owner.",
    "reasons": {}
  },
  "authn_password_change_fail": {
    "when": "a logged-in user wants to change the password, and the current one is wrong",
    "respond": "One is a typing error. Several: the client has an access token and not the password (docs/runbooks/failed-step-ups.md).",
    "reasons": {
      "wrong_password": "the current password is another",
      "changed_meanwhile": "it was right, and another was stored while it was checked; not counted"
    }
  },
  "authn_step_up_fail": {
    "when": "a logged-in user does not prove their identity",
    "respond": "One is a typing error. Several: the client has an access token and not the password (docs/runbooks/failed-step-ups.md).",
    "reasons": {
      "wrong_password": "the password is another",
      "unknown_passkey": "no user has registered this credential, or it was deleted at that moment",
      "passkey_of_another_user": "the passkey of another user, or a false user handle",
      "not_valid": "a rule of WebAuthn is broken; `fault` says which",
      "sign_count_not_advanced": "the counter of a passkey that is bound to one device did not advance: perhaps a copied authenticator",
      "token_version_changed": "the account was changed while this step-up was under way",
      "passkey_not_enough": "a genuine passkey, but without user verification, and no password",
      "passkey_inconsistent": "a genuine synced passkey whose counter or backup eligibility does not fit its record, and no password; not counted",
      "invalid_challenge": "unknown, expired, answered before, or of another session; not counted"
    }
  },
  "authn_step_up_fail_max": {
    "when": "the fifth wrong proof of identity in a session, at a step-up or a change of the password, revoked it",
    "respond": "An attacker may hold a copy of the session's tokens (docs/runbooks/failed-step-ups.md).",
    "reasons": {}
  },
  "authn_step_up_success": {
    "when": "a logged-in user proves their identity again; recorded in the transaction that stores the step-up token",
    "respond": "Nothing by itself. It precedes a change of passkeys or the end of other sessions.",
    "reasons": {}
  },
  "authn_token_created": {
    "when": "a login or a refresh returns tokens; recorded in the transaction that stores the refresh token",
    "respond": "Nothing by itself.",
    "reasons": {}
  },
  "authn_token_rejected": {
    "when": "a token is refused: by the authorizer (once while the gateway keeps the refusal), by a function that meets an ended session, or a refresh token or `mfa_token`",
    "respond": "Clients with old tokens cause some. A spike is somebody trying (docs/runbooks/rejected-tokens.md).",
    "reasons": {
      "session_unknown": "no such session",
      "session_revoked": "the session was ended",
      "session_expired": "the session has reached its absolute age",
      "token_expired": "past its lifetime",
      "token_version_changed": "an operator has ended all sessions or changed the account, or its password was changed",
      "user_not_active": "the account is disabled",
      "invalid_token": "the authorizer found the signature or a claim not valid",
      "invalid_mfa_token": "not one of ours, or expired",
      "unknown_token": "a refresh token that was never issued, or is long gone",
      "storage_not_mounted": "the keys could not be read",
      "service_unavailable": "the keys could not be read"
    }
  },
  "authn_token_reuse": {
    "when": "a spent refresh token came back; its session was ended (RFC 9700 section 4.14)",
    "respond": "Somebody else has held the token (docs/runbooks/token-reuse.md).",
    "reasons": {
      "spent_token_reused": "outside the grace period, or not the parent of the live token"
    }
  },
  "authn_token_revoked": {
    "when": "sessions are ended by their owner, by a change of their passkeys or password, or by an operator",
    "respond": "Nothing by itself.",
    "reasons": {
      "by_owner": "a logout, or the end of other sessions",
      "passkey_added": "with each new passkey, all other sessions end",
      "passkey_removed": "with the deletion of a passkey, all other sessions end",
      "password_changed": "with a new password, all other sessions end",
      "by_operator": "by an operator's command"
    }
  },
  "authz_change": {
    "when": "an operator gives a role",
    "respond": "There must be a request for it, above all for `admin` and `security`.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "authz_fail": {
    "when": "somebody with a valid token asks for what they may not have",
    "respond": "Several `not_self` of one account are a scan (docs/runbooks/authorization-failures.md).",
    "reasons": {
      "not_self": "another person's data",
      "role_not_sufficient": "the audit log, without the role for it",
      "no_step_up": "what needs a step-up token, without one, or with one that is not the session's",
      "step_up_expired": "the same, with a step-up token that has expired",
      "step_up_without_passkey": "what needs a step-up with a passkey, after one with the password",
      "passkey_added_meanwhile": "the end of a registration, after another passkey was added",
      "login_without_passkey": "the audit log, after a login without a passkey",
      "account_without_passkey": "the audit log, of an account that has no passkey any more"
    }
  },
  "excess_rate_limit_exceeded": {
    "when": "an attempt is refused because of a lock; recorded once a lock, counted by the metric each time",
    "respond": "One is a person in a hurry. The metric tells how many there were: see the runbook on failed logins.",
    "reasons": {
      "login_account_source": "with the password of one account, from one source",
      "login_account": "with the password of one account, from sources that it is not known to use",
      "login_source": "with passwords, from one source",
      "second_factor": "with the second factor of one account: somebody knows its password",
      "passkey_source": "with passkeys, from one source",
      "refresh_source": "with refresh tokens that are not valid, from one source",
      "registration_source": "registrations from one source",
      "session_proofs": "proofs of identity in one session, more at a time than may fail",
      "step_up_challenge": "step-ups with a passkey that are begun, in one session",
      "registration_challenge": "registrations of a passkey that are begun, in one session",
      "invalid_challenge": "responses to challenges that are not valid, in one session: not recorded",
      "bad_input_source": "refused bodies and queries from one source: answered as before, and not recorded"
    }
  },
  "input_validation_fail": {
    "when": "a body or parameter is rejected; its fields are named, their values are not. The audit log records a limited number per client IP, and none for a route that has no input. The metric counts all",
    "respond": "Forms cause some. Fields that no form has are somebody probing.",
    "reasons": {}
  },
  "password_rehash_fail": {
    "when": "at a login, a hash of an old cost could not be replaced; the login went on",
    "respond": "Look at the database; the next login tries again.",
    "reasons": {}
  },
  "sensitive_read": {
    "when": "an admin reads another person's data, or somebody reads the audit log",
    "respond": "There must be an occasion for it.",
    "reasons": {
      "by_operator": "by an operator's command",
      "audit_log": "a reading of the audit log through the API"
    }
  },
  "sys_crypto_key_rotated": {
    "when": "the signing key is rotated",
    "respond": "There must be a plan for it (docs/runbooks/rotate-signing-key.md).",
    "reasons": {}
  },
  "sys_startup": {
    "when": "a running environment begins its chain of the audit log: at its first audited event, and again after a record could not be stored",
    "respond": "Nothing by itself.",
    "reasons": {}
  },
  "user_created": {
    "when": "somebody registers; recorded in the transaction that stores the account",
    "respond": "Watch the rate (docs/runbooks/registration-spam.md).",
    "reasons": {}
  },
  "user_creation_fail": {
    "when": "a registration is refused",
    "respond": "Many from one source are somebody finding out who has an account.",
    "reasons": {
      "email_taken": "the address has an account"
    }
  },
  "user_deleted": {
    "when": "an operator erases a person's account and data",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "user_disabled": {
    "when": "an operator disables an account",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "user_enabled": {
    "when": "an operator enables an account",
    "respond": "There must be a request for it.",
    "reasons": {
      "by_operator": "by an operator's command"
    }
  },
  "user_updated": {
    "when": "somebody renames a passkey, or an operator ends the locks on an account",
    "respond": "Nothing by itself.",
    "reasons": {
      "passkey_renamed": "the name of a passkey",
      "unlocked_by_operator": "failed logins were forgotten, by an operator's command"
    }
  }
};

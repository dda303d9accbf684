"""The vocabulary of security events: names in the manner of OWASP, and severities and classes of OCSF."""

from enum import IntEnum, StrEnum


class SecurityEvent(StrEnum):
    """Names of security events: those of OWASP's Logging Vocabulary Cheat Sheet, and further ones in its manner."""

    AUTHN_CLIENT_FAIL = "authn_client_fail"
    AUTHN_CLIENT_TOKEN_CREATED = "authn_client_token_created"
    AUTHN_LOGIN_SUCCESS = "authn_login_success"
    AUTHN_LOGIN_FAIL = "authn_login_fail"
    AUTHN_LOGIN_FIRST_FACTOR = "authn_login_first_factor"
    AUTHN_LOGIN_LOCK = "authn_login_lock"
    AUTHN_PASSKEY_ADDED = "authn_passkey_added"
    AUTHN_PASSKEY_INCONSISTENT = "authn_passkey_inconsistent"
    AUTHN_PASSKEY_REMOVED = "authn_passkey_removed"
    AUTHN_PASSKEY_REJECTED = "authn_passkey_rejected"
    AUTHN_PASSWORD_CHANGE = "authn_password_change"
    AUTHN_PASSWORD_CHANGE_FAIL = "authn_password_change_fail"
    AUTHN_PASSWORD_RESET = "authn_password_reset"
    AUTHN_PASSWORD_RESET_FAIL = "authn_password_reset_fail"
    AUTHN_PASSWORD_RESET_REQUESTED = "authn_password_reset_requested"
    AUTHN_STEP_UP_SUCCESS = "authn_step_up_success"
    AUTHN_STEP_UP_FAIL = "authn_step_up_fail"
    AUTHN_STEP_UP_FAIL_MAX = "authn_step_up_fail_max"
    AUTHN_TOKEN_CREATED = "authn_token_created"
    AUTHN_TOKEN_REJECTED = "authn_token_rejected"
    AUTHN_TOKEN_REVOKED = "authn_token_revoked"
    AUTHN_TOKEN_REUSE = "authn_token_reuse"
    AUTHZ_CHANGE = "authz_change"
    AUTHZ_FAIL = "authz_fail"
    AUTHZ_INTROSPECTION_FAIL = "authz_introspection_fail"
    CLIENT_CREATED = "client_created"
    CLIENT_CREDENTIAL_CHANGED = "client_credential_changed"
    CLIENT_DELETED = "client_deleted"
    EXCESS_RATE_LIMIT_EXCEEDED = "excess_rate_limit_exceeded"
    INPUT_VALIDATION_FAIL = "input_validation_fail"
    MAIL_BOUNCED = "mail_bounced"
    MAIL_FAILED = "mail_failed"
    MAIL_PAUSED = "mail_paused"
    MAIL_RESUMED = "mail_resumed"
    MAIL_SENT = "mail_sent"
    PASSWORD_REHASH_FAIL = "password_rehash_fail"
    SENSITIVE_READ = "sensitive_read"
    SYS_CRYPTO_KEY_ROTATED = "sys_crypto_key_rotated"
    SYS_STARTUP = "sys_startup"
    USER_CREATED = "user_created"
    USER_CREATION_FAIL = "user_creation_fail"
    USER_DELETED = "user_deleted"
    USER_DISABLED = "user_disabled"
    USER_EMAIL_CHANGE_REQUESTED = "user_email_change_requested"
    USER_EMAIL_CHANGED = "user_email_changed"
    USER_EMAIL_VERIFICATION_REQUESTED = "user_email_verification_requested"
    USER_EMAIL_VERIFIED = "user_email_verified"
    USER_EMAIL_VERIFY_FAIL = "user_email_verify_fail"
    USER_ENABLED = "user_enabled"
    USER_SECURE_FAIL = "user_secure_fail"
    USER_SECURED = "user_secured"
    USER_UPDATED = "user_updated"


class Severity(IntEnum):
    """The values of OCSF's ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class OCSFClass(IntEnum):
    """The values of OCSF's ``class_uid`` that the catalogue uses."""

    ACCOUNT_CHANGE = 3001
    AUTHENTICATION = 3002
    AUTHORIZE_SESSION = 3003
    ENTITY_MANAGEMENT = 3004
    USER_ACCESS_MANAGEMENT = 3005
    APPLICATION_LIFECYCLE = 6002
    API_ACTIVITY = 6003

"""Security events: one call at each decision that the Security team wants to know about.

``security_event`` writes a structured log line and counts a metric of the same name. Names are those of OWASP's Logging
Vocabulary, so that a SIEM's rules read like its documentation.
"""

from enum import StrEnum
from uuid import UUID

from auth_common.monitoring import metrics, request_context
from auth_common.monitoring.logger import logger


class SecurityEvent(StrEnum):
    """What happened (OWASP Logging Vocabulary Cheat Sheet)."""

    AUTHN_LOGIN_SUCCESS = "authn_login_success"
    AUTHN_LOGIN_FAIL = "authn_login_fail"
    #: The password was right; the passkey is still to come. Many of these without a login: a password is known.
    AUTHN_LOGIN_FIRST_FACTOR = "authn_login_first_factor"
    AUTHN_PASSKEY_ADDED = "authn_passkey_added"
    AUTHN_PASSKEY_REMOVED = "authn_passkey_removed"
    AUTHN_PASSKEY_REJECTED = "authn_passkey_rejected"
    AUTHN_TOKEN_CREATED = "authn_token_created"
    AUTHN_TOKEN_REJECTED = "authn_token_rejected"
    AUTHN_TOKEN_REVOKED = "authn_token_revoked"
    AUTHN_TOKEN_REUSE = "authn_token_reuse"
    AUTHZ_CHANGE = "authz_change"
    AUTHZ_FAIL = "authz_fail"
    INPUT_VALIDATION_FAIL = "input_validation_fail"
    PASSWORD_REHASH_FAIL = "password_rehash_fail"
    SENSITIVE_READ = "sensitive_read"
    SYS_CRYPTO_KEY_ROTATED = "sys_crypto_key_rotated"
    USER_CREATED = "user_created"
    USER_CREATION_FAIL = "user_creation_fail"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"


_SUCCESSES = frozenset(
    {
        SecurityEvent.AUTHN_LOGIN_SUCCESS,
        SecurityEvent.AUTHN_LOGIN_FIRST_FACTOR,
        SecurityEvent.AUTHN_PASSKEY_ADDED,
        SecurityEvent.AUTHN_PASSKEY_REMOVED,
        SecurityEvent.AUTHN_TOKEN_CREATED,
        SecurityEvent.AUTHN_TOKEN_REVOKED,
        SecurityEvent.AUTHZ_CHANGE,
        SecurityEvent.SENSITIVE_READ,
        SecurityEvent.SYS_CRYPTO_KEY_ROTATED,
        SecurityEvent.USER_CREATED,
        SecurityEvent.USER_DISABLED,
        SecurityEvent.USER_ENABLED,
    }
)


def security_event(
    event: SecurityEvent,
    *,
    user_id: UUID | str | None = None,
    reason: str | None = None,
    **detail: str | int | list[str],
) -> None:
    """Record ``event``: a log line (INFO for a success, WARNING for a failure) and a metric.

    Args:
        event: what happened.
        user_id: the account that it happened to, where one is known.
        reason: why it failed, as a stable word for rules and charts. It never reaches the client.
        detail: further fields. Never a password, token, hash or challenge; the logger would mask them, but a value
            that is not passed cannot leak.

    """
    succeeded = event in _SUCCESSES
    request = request_context.get()
    metrics.count(event)
    write = logger.info if succeeded else logger.warning
    write(
        event.value,
        extra={
            "security_event": {
                "name": event.value,
                "outcome": "success" if succeeded else "failure",
                **({"user_id": str(user_id)} if user_id else {}),
                **({"reason": reason} if reason else {}),
                "source_ip": request.source_ip,
                "user_agent": request.user_agent[:256],
                "method": request.method,
                "path": request.path,
                **detail,
            }
        },
    )

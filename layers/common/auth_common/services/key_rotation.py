"""Key rotation on the ``local`` stage. On AWS the key is KMS's and its rotation a deployment (docs/runbooks)."""

from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.local_keys import rotate_local_key
from auth_common.services.health import check_health


def rotate_signing_key() -> str:
    """Sign with a new key from now on, and return its key id. Tokens of the old one stay valid until they expire.

    Raises:
        StorageNotMounted: there is no storage.
        ServiceUnavailable: the audit log is away.

    """
    # A rotation that cannot be recorded does not begin.
    check_health()
    kid = rotate_local_key()
    security_event(SecurityEvent.SYS_CRYPTO_KEY_ROTATED, kid=kid)
    return kid

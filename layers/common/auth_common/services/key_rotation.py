"""Key rotation on the ``local`` stage. On AWS the key is KMS's and its rotation a deployment (docs/runbooks)."""

from sqlalchemy import Connection

from auth_common.db.engine import transaction
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.local_keys import rotate_local_key


def rotate_signing_key() -> str:
    """Sign with a new key from now on, and return its key id. Tokens of the old one stay valid until they expire.

    Raises:
        StorageNotMounted: there is no storage.
        DatabaseUnavailable: the audit log is away.

    """
    rotated: list[str] = []

    def rotate(_connection: Connection) -> None:
        # In a transaction, which begins by waiting for its turn to write: what cannot be recorded does not happen.
        if not rotated:  # the transaction may run again
            rotated.append(rotate_local_key())
        security_event(SecurityEvent.SYS_CRYPTO_KEY_ROTATED, kid=rotated[0])

    transaction(rotate)
    return rotated[0]

"""Key rotation on the ``local`` stage. On AWS the key is KMS's and its rotation a deployment (docs/runbooks)."""

from sqlalchemy import Connection

from auth_common.errors import Misconfigured
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.local_keys import rotate_local_key
from auth_common.settings import settings
from auth_common.transactions import transaction


def rotate_signing_key() -> str:
    """Sign with a new key from now on, and return its key id. Tokens of the old one stay valid until they expire.

    Raises:
        Misconfigured: the service signs or verifies with other keys than those in the storage.
        StorageNotMounted: there is no storage.
        DatabaseUnavailable: the audit log is away.

    """
    if settings().stage != "local" or settings().signing_key_arn is not None or settings().jwks is not None:
        raise Misconfigured(
            "SIGNING_KEY_ARN, JWKS and STAGE: only a local stage with its keys in DATA_DIR rotates them by this "
            "command. On AWS the rotation is a deployment (docs/runbooks/rotate-signing-key.md)"
        )
    rotated: list[str] = []

    def rotate(_connection: Connection) -> None:
        # In a transaction, which begins by waiting for its turn to write: what cannot be recorded does not happen.
        if not rotated:  # the transaction may run again
            rotated.append(rotate_local_key())
        security_event(SecurityEvent.SYS_CRYPTO_KEY_ROTATED, kid=rotated[0])

    transaction(rotate)
    return rotated[0]

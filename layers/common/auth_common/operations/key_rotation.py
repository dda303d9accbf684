"""Rotate the signing key of the ``local`` stage. On AWS, a deployment rotates the key in KMS (docs/runbooks)."""

from sqlalchemy import Connection

from auth_common.errors import Misconfigured
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.keys.local_keys import rotate_local_key
from auth_common.settings import settings
from auth_common.transactions import transaction


def rotate_signing_key() -> str:
    """Replace the signing key and return the new key id. Tokens of the old key stay valid until they expire.

    Raises:
        Misconfigured: a setting makes the service use other keys than those in the storage.
        StorageNotMounted: there is no storage.
        DatabaseUnavailable: the audit record cannot be written.

    """
    if settings().stage != "local" or settings().signing_key_arn is not None or settings().jwks is not None:
        raise Misconfigured(
            "SIGNING_KEY_ARN, JWKS and STAGE: this command rotates keys only on a local stage with its keys in "
            "DATA_DIR. On AWS, rotate with a deployment (docs/runbooks/rotate-signing-key.md)"
        )
    rotated: list[str] = []

    def rotate(_connection: Connection) -> None:
        # In the transaction, which begins by waiting for the write lock. If no audit record can be written, the key is
        # not replaced. The transaction may run again, and must not rotate twice.
        if not rotated:
            rotated.append(rotate_local_key())
        security_event(SecurityEvent.SYS_CRYPTO_KEY_ROTATED, kid=rotated[0])

    transaction(rotate)
    return rotated[0]

"""Return the hashes of the locks by which a trusted proxy proves itself (``events.client_ip``)."""

from collections.abc import Sequence

from auth_common.events.client_ip import lock_hash
from auth_common.keys.shared_secrets import secret_text


def lock_hashes(arns: Sequence[str]) -> str:
    """Return the value of ``PROXY_LOCKS``: the hash of each secret in Secrets Manager, separated by commas.

    Raises:
        Misconfigured: a secret is binary data.
        ServiceUnavailable: Secrets Manager throttles or rejects the call, or is unavailable.

    """
    return ",".join(lock_hash(secret_text(arn, setting="ProxyLockArns")) for arn in arns)

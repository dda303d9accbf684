"""A custom resource of the deployment: publish what the functions verify with.

It reads the signing keys' public keys from KMS, and the proxy's locks from Secrets Manager, when they change.
CloudFormation puts the JWK Set and the locks' hashes into environment variables. So the authorizer needs neither boto3
nor a permission of its own.
"""

import json
from collections.abc import Mapping
from typing import Any

from auth_common.operations.proxy_locks import lock_hashes
from auth_common.operations.public_keys import kms_public_key_set
from auth_common.web.custom_resources import create_custom_resource_handler


def publish(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes ``Jwks`` and ``ProxyLocks``.

    The property ``KeyArns`` lists the signing keys, the active one first. ``ProxyLockArns`` lists the locks, if the
    stack has any.
    """
    return {
        "Jwks": json.dumps(kms_public_key_set(properties["KeyArns"]), separators=(",", ":")),
        "ProxyLocks": lock_hashes(properties.get("ProxyLockArns", ())),
    }


handler = create_custom_resource_handler(publish)

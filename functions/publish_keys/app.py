"""A custom resource of the deployment: publish the public keys of the signing keys as a JWK Set.

It reads the keys from KMS once, when they change. CloudFormation puts the JWK Set into an environment variable of the
functions that verify tokens. So the authorizer needs neither boto3 nor a permission of its own.
"""

import json
from collections.abc import Mapping
from typing import Any

from auth_common.operations.public_keys import kms_public_key_set
from auth_common.web.custom_resources import create_custom_resource_handler


def publish(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the attribute ``Jwks``. The property ``KeyArns`` lists the signing keys, the active one first."""
    return {"Jwks": json.dumps(kms_public_key_set(properties["KeyArns"]), separators=(",", ":"))}


handler = create_custom_resource_handler(publish)

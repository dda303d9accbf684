"""A custom resource of the deployment: the public halves of the signing keys, as the JWK Set that verifiers get.

KMS is asked once, when the keys change, and the answer becomes an environment variable of the functions that verify
tokens. So the authorizer needs neither boto3 nor a permission of its own.
"""

import json
from collections.abc import Mapping
from typing import Any

from auth_common.operations.public_keys import kms_public_key_set
from auth_common.web.custom_resources import create_custom_resource_handler


def publish(properties: Mapping[str, Any]) -> dict[str, str]:
    """Answer the attribute ``Jwks``, for the property ``KeyArns``: the signing keys, from the one that signs on."""
    return {"Jwks": json.dumps(kms_public_key_set(properties["KeyArns"]), separators=(",", ":"))}


handler = create_custom_resource_handler(publish)

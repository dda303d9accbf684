"""A custom resource of the deployment: the schema of the database, and who may do what in it.

It runs before any function of a new version does. If it fails, CloudFormation takes the whole deployment back.
"""

from collections.abc import Mapping
from typing import Any

from auth_common.operations.migration import migrate_schema
from auth_common.web.custom_resources import create_custom_resource_handler


def migrate(properties: Mapping[str, Any]) -> dict[str, str]:
    """Answer the attribute ``Revision``, for the property ``Roles``: a role in the database -> ARNs of IAM roles."""
    return {"Revision": migrate_schema(properties["Roles"])}


handler = create_custom_resource_handler(migrate)

"""A custom resource of the deployment: migrate the database's schema, and grant the functions their privileges in it.

It runs before any function of a new version does. If it fails, CloudFormation rolls the whole deployment back.
"""

from collections.abc import Mapping
from typing import Any

from auth_common.operations.migration import migrate_schema
from auth_common.web.custom_resources import create_custom_resource_handler


def migrate(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the attribute ``Revision``. The property ``Roles`` maps a database role to the ARNs of its IAM roles."""
    return {"Revision": migrate_schema(properties["Roles"])}


handler = create_custom_resource_handler(migrate)

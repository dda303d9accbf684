"""Check whether the service can do its work."""

from auth_common.database import migrations
from auth_common.errors import ServiceUnavailable
from auth_common.transactions import read


def check_health() -> None:
    """Require a database with the schema of this version or a newer one. A newer schema only adds to this one.

    Raises:
        ServiceUnavailable: the database is unavailable, or its schema is older or missing.

    """
    revision = read(migrations.current_revision)
    if revision is None or revision < migrations.HEAD:
        raise ServiceUnavailable

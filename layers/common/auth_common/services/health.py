"""Health: can the service do its work?"""

from auth_common.db import migrations
from auth_common.db.engine import read
from auth_common.errors import ServiceUnavailable


def check_health() -> None:
    """Return if the database answers and has the schema of this version.

    Raises:
        ServiceUnavailable: it does not.

    """
    if read(migrations.current_revision) != migrations.HEAD:
        raise ServiceUnavailable

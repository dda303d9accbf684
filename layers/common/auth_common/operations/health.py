"""Health: can the service do its work?"""

from auth_common.database import migrations
from auth_common.errors import ServiceUnavailable
from auth_common.transactions import read


def check_health() -> None:
    """Return if the database answers and has the schema of this version, or a newer one, which only has more.

    Raises:
        ServiceUnavailable: it does not.

    """
    revision = read(migrations.current_revision)
    if revision is None or revision < migrations.HEAD:
        raise ServiceUnavailable

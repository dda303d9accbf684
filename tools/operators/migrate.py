"""``uv run migrate``: the schema of a database that is not of the local stage's own making.

Works on the database that DATABASE_URL names, as the owner of its schema.
"""

import argparse
import sys
from collections.abc import Sequence

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from auth_common.errors import ServiceError
from auth_common.operations.migration import migrate_schema
from tools.operators.operation import add_json_option, answer, operation, reason


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="migrate", description=__doc__)
    add_json_option(parser)
    options = parser.parse_args(arguments)
    try:
        with operation("migrate", as_json=options.json):
            revision = migrate_schema({})
    except ServiceError as error:
        return _fail(reason(error))
    except (DBAPIError, CommandError) as error:
        return _fail(str(error))
    return answer(f"the schema is at revision {revision}", as_json=options.json, revision=revision)


def _fail(message: str) -> int:
    sys.stderr.write(f"migrate: {message}\n")
    return 1

"""``uv run migrate``: bring the schema of a database to the current revision.

It works on the database that DATABASE_URL or DATA_DIR names, as the user that owns the schema.
"""

import argparse
import sys
from collections.abc import Sequence

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from auth_common.errors import ServiceError
from auth_common.operations.migration import migrate_schema
from tools.operators.operator_command import add_json_option, error_text, operator_command, print_result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="migrate", description=__doc__)
    add_json_option(parser)
    options = parser.parse_args(arguments)
    try:
        with operator_command("migrate", as_json=options.json):
            revision = migrate_schema({})
    except ServiceError as error:
        return _fail(error_text(error))
    except (DBAPIError, CommandError) as error:
        return _fail(str(error))
    return print_result(f"the schema is at revision {revision}", as_json=options.json, revision=revision)


def _fail(message: str) -> int:
    sys.stderr.write(f"migrate: {message}\n")
    return 1

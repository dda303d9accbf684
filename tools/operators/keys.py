"""``uv run keys rotate``: create a new signing key for the local stage. The service may be running."""

import argparse
import sys
from collections.abc import Sequence

from auth_common.errors import ServiceError
from auth_common.operations.key_rotation import rotate_signing_key
from tools.operators.operator_command import add_json_option, error_text, operator_command, print_result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="keys", description=__doc__)
    parser.add_argument("command", choices=["rotate"])
    add_json_option(parser)
    options = parser.parse_args(arguments)
    try:
        with operator_command("keys", as_json=options.json):
            kid = rotate_signing_key()
    except ServiceError as error:
        sys.stderr.write(f"keys: {error_text(error)}\n")
        return 1
    done = f"signing with {kid} from now on; the old key stays in the JWKS until its last token expires"
    return print_result(done, as_json=options.json, kid=kid)

"""``uv run keys``: create a new signing key for the local stage, or print the public keys as PEM.

The service may be running.
"""

import argparse
import sys
from collections.abc import Sequence

from auth_common.errors import ServiceError
from auth_common.operations.key_rotation import rotate_signing_key
from auth_common.operations.public_keys import public_key_pems
from tools.operators.operator_command import add_json_option, error_text, operator_command, print_result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="keys", description=__doc__)
    parser.add_argument("command", choices=["pem", "rotate"])
    add_json_option(parser)
    options = parser.parse_args(arguments)
    run = {"pem": _print_pems, "rotate": _rotate}[options.command]
    try:
        with operator_command("keys", as_json=options.json):
            return run(as_json=options.json)
    except ServiceError as error:
        sys.stderr.write(f"keys: {error_text(error)}\n")
        return 1


def _rotate(*, as_json: bool) -> int:
    kid = rotate_signing_key()
    done = f"signing with {kid} from now on; the old key stays in the JWKS until its last token expires"
    return print_result(done, as_json=as_json, kid=kid)


def _print_pems(*, as_json: bool) -> int:
    pems = public_key_pems()
    # Programs that read PEM ignore the lines with key ids. Most read the first key only, which is the signing key.
    text = "\n".join(f"# {kid}\n{pem.strip()}" for kid, pem in pems.items())
    return print_result(text, as_json=as_json, **pems)

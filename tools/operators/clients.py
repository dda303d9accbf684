"""``uv run clients``: register services that authenticate as clients, list them, rotate their credentials, remove them.

It works on the database that DATABASE_URL or DATA_DIR names. The service may be running. A secret is shown once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auth_common.clients import registration
from auth_common.clients.credentials import ALGORITHMS, parse_public_key
from auth_common.clients.registration import PublicKeyCredential
from auth_common.clients.store import Client
from auth_common.errors import NotFound, ServiceError
from tools.operators.operator_command import add_json_option, error_text, operator_command, print_result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="clients", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser(
        "add", help="register a client; without --public-key it gets a secret, which is shown once"
    )
    add.add_argument("name", help="its client_id")
    add.add_argument("--resource", action="append", default=[], help="an audience for which it may request tokens")
    add.add_argument("--scope", action="append", default=[], help="a scope that it may request")
    add.add_argument("--audience", help="the audience of the tokens that it accepts itself")
    add.add_argument("--introspect", action="store_true", help="let it introspect tokens of its audience")
    rotate = commands.add_parser("rotate", help="give a client a new credential; the one before stays valid")
    rotate.add_argument("name")
    ends = rotate.add_mutually_exclusive_group()
    ends.add_argument("--now", action="store_true", help="end all credentials before at once, as after a leak")
    ends.add_argument("--finish", action="store_true", help="end the old credential, and create none")
    for command in (add, rotate):
        command.add_argument("--public-key", type=Path, help="a file with its public key, as PEM or JWK")
        command.add_argument("--algorithm", choices=ALGORITHMS, help="how it signs; the default depends on the key")
    commands.add_parser("remove", help="remove a client").add_argument("name")
    commands.add_parser("list", help="list all clients, without their secrets")
    for command in commands.choices.values():
        add_json_option(command)
    options = parser.parse_args(arguments)
    try:
        with operator_command("clients", as_json=options.json):
            text, facts = _run(options)
    except NotFound:
        return _fail(f"no client has the name {options.name!r}")
    except ServiceError as error:
        return _fail(error_text(error))
    except (OSError, ValueError) as error:
        return _fail(str(error))
    return print_result(text, as_json=options.json, **facts)


def _run(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Run the chosen subcommand. Return its result as text, and as values by name for JSON."""
    if options.command == "list":
        clients = registration.list_clients()
        return "\n".join(map(_line, clients)) or "there is no client", {"clients": [_facts(each) for each in clients]}
    if options.command == "remove":
        registration.remove_client(options.name)
        return f"{options.name}: removed", {"client_id": options.name, "removed": True}
    if options.command == "rotate" and options.finish:
        client, secret = registration.end_old_credential(options.name), None
    elif options.command == "rotate":
        client, secret = registration.rotate_credential(
            options.name, public_key=_public_key(options), ends_old_now=options.now
        )
    else:
        client, secret = registration.add_client(
            options.name,
            resources=options.resource,
            scopes=options.scope,
            audience=options.audience,
            may_introspect=options.introspect,
            public_key=_public_key(options),
        )
    lines = [_line(client)]
    if secret is not None:
        lines += [f"client_secret: {secret}", "Store the secret now. It cannot be shown again."]
    return "\n".join(lines), _facts(client) | ({"client_secret": secret} if secret else {})


def _public_key(options: argparse.Namespace) -> PublicKeyCredential | None:
    """Return the public key in the file that the operator names. Return None without a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file contains no public key, or a weak one, or an algorithm is named without a file.

    """
    if options.public_key is None:
        if options.algorithm is not None:
            raise ValueError("--algorithm needs --public-key; a client with a secret has no algorithm")
        return None
    try:
        text = options.public_key.read_text(encoding="ascii")
    except UnicodeDecodeError:
        # "from None": the text of the error quotes the file, which may be a private key.
        raise ValueError("the file must be a public key as PEM or JWK, in ASCII; DER is not accepted") from None
    return PublicKeyCredential(*parse_public_key(text, algorithm=options.algorithm))


def _line(client: Client) -> str:
    parts = [
        f"{client.name}: {registration.method_of(client)}",
        "two credentials are valid" if client.old_credential else "",
        f"resources {' '.join(client.resources)}" if client.resources else "",
        f"scopes {' '.join(client.scopes)}" if client.scopes else "",
        f"audience {client.audience}" if client.audience else "",
        "may introspect" if client.may_introspect else "",
    ]
    return "; ".join(filter(None, parts))


def _facts(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.name,
        "method": registration.method_of(client),
        "resources": client.resources,
        "scopes": client.scopes,
        "audience": client.audience,
        "may_introspect": client.may_introspect,
        "has_old_credential": client.old_credential is not None,
        "created_at": client.created_at,
        "rotated_at": client.rotated_at,
    }


def _fail(reason: str) -> int:
    sys.stderr.write(f"clients: {reason}\n")
    return 1

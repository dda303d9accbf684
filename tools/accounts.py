"""``uv run accounts``: roles, disabling, locks, lost passkeys, the end of all sessions of a user, and erasure.

Works on the database that DATABASE_URL or DATA_DIR names, also while the service runs. The first admin is made here:
no endpoint can make one.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from auth_common.errors import NoPasskey, NotFound, ServiceError
from auth_common.services import accounts
from auth_common.services.email_address import normalise_email
from auth_common.services.erasure import erase_user
from tools.operation import operation, reason

_CHANGES: Final = {
    "disable": ("let a user in no more", accounts.disable_user),
    "enable": ("let a disabled user log in again", accounts.enable_user),
    "end-sessions": ("end all sessions of a user", accounts.end_sessions_of),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="accounts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    role = commands.add_parser("role", help="give a user a role")
    role.add_argument("email")
    role.add_argument("role", choices=accounts.ROLES)
    for name, (purpose, _) in _CHANGES.items():
        commands.add_parser(name, help=purpose).add_argument("email")
    unlock = commands.add_parser("unlock", help="forget the failed logins of a user; no session ends")
    unlock.add_argument("email")
    remove = commands.add_parser("remove-passkeys", help="delete all passkeys of a user who has lost them")
    remove.add_argument("email")
    erase = commands.add_parser("erase", help="delete a user and their data for ever; the audit log stays whole")
    erase.add_argument("email")
    options = parser.parse_args(arguments)
    try:
        with operation("accounts"):
            done = _run(options)
    except NoPasskey:
        return _fail(f"{options.email!r} has no passkey; nothing has changed, and no session has ended")
    except NotFound:
        return _fail(f"no user has the address {options.email!r}")
    except ServiceError as error:
        return _fail(reason(error))
    except ValueError as error:
        return _fail(f"{options.email!r} {error}")
    sys.stdout.write(f"{done}\n")
    return 0


def _run(options: argparse.Namespace) -> str:
    """Do what is asked and return it in words."""
    email = normalise_email(options.email)
    if options.command == "erase":
        return f"{erase_user(email)}: erased"
    if options.command == "unlock":
        user, forgotten = accounts.unlock_user(email)
        return f"{user.id}: role {user.role}, {user.status}; counters of failed logins forgotten: {forgotten}"
    done = ""
    if options.command == "role":
        user = accounts.change_role(email, options.role)
    elif options.command == "remove-passkeys":
        user, removed = accounts.remove_passkeys(email)
        done = f"passkeys removed: {removed}; "
    else:
        user = _CHANGES[options.command][1](email)
    return f"{user.id}: role {user.role}, {user.status}; {done}all of their sessions have ended"


def _fail(reason: str) -> int:
    sys.stderr.write(f"accounts: {reason}\n")
    return 1

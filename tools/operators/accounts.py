"""``uv run accounts``: roles, disabling, locks, lost passkeys, the end of all sessions of a user, and erasure.

Works on the database that DATABASE_URL or DATA_DIR names, also while the service runs. The first admin is made here:
no endpoint can make one.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from auth_common.accounts import administration as accounts
from auth_common.accounts.erasure import erase_user
from auth_common.errors import NoPasskey, NotFound, ServiceError
from auth_common.passkeys.store import Passkey
from auth_common.users.email_address import normalise_email
from tools.operators.operation import add_json_option, answer, moment, operation, reason

_CHANGES: Final = {
    "disable": ("let a user in no more", accounts.disable_user),
    "enable": ("let a disabled user log in again", accounts.enable_user),
    "end-sessions": ("end all sessions of a user", accounts.revoke_sessions_of),
}
#: How far back ``end-sessions`` looks for passkeys that were added: a refresh token may live as long.
_RECENT: Final = timedelta(days=30)


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
    commands.add_parser("list-passkeys", help="show the passkeys of a user, newest first").add_argument("email")
    remove = commands.add_parser("remove-passkeys", help="delete passkeys of a user who has lost them, or had a theft")
    remove.add_argument("email")
    remove.add_argument("--since", type=moment, help="only those added from this time on: 2026-01-31T00:00:00Z")
    erase = commands.add_parser("erase", help="delete a user and their data for ever; the audit log stays whole")
    erase.add_argument("email")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    for command in commands.choices.values():
        add_json_option(command)
    options = parser.parse_args(arguments)
    try:
        if options.command == "erase" and not options.yes:
            _confirm(options.email)
        with operation("accounts", as_json=options.json):
            done, facts = _run(options)
    except NoPasskey:
        added = f" that was added since {options.since.isoformat()}" if options.since else ""
        return _fail(f"{options.email!r} has no passkey{added}; nothing has changed, and no session has ended")
    except NotFound:
        return _fail(f"no user has the address {options.email!r}")
    except ServiceError as error:
        return _fail(reason(error))
    except ValueError as error:
        return _fail(f"{options.email!r} {error}")
    return answer(done, as_json=options.json, **facts)


class _NotConfirmedError(ServiceError):
    """The operator has not confirmed what cannot be undone."""


def _confirm(email: str) -> None:
    """Ask on the terminal whether a user is to be erased.

    Raises:
        _NotConfirmedError: the answer was another, or there is no terminal.
        ValueError: this is not an e-mail address.

    """
    expected = normalise_email(email)
    if not sys.stdin.isatty():
        raise _NotConfirmedError("erase asks on a terminal only; to erase without being asked, add --yes")
    sys.stderr.write(f"This deletes {expected} and all data of this user for ever. Type the address to go on: ")
    sys.stderr.flush()
    typed = ""
    with suppress(KeyboardInterrupt):
        typed = sys.stdin.readline().strip().casefold()
    if typed not in {email.casefold(), expected}:
        raise _NotConfirmedError("not confirmed; nothing was deleted")


def _run(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Do what is asked and return it in words, and as values by name."""
    email = normalise_email(options.email)
    if options.command == "erase":
        user_id = erase_user(email)
        return f"{user_id}: erased", {"user_id": user_id, "erased": True}
    if options.command == "unlock":
        user, forgotten = accounts.unlock_user(email)
        done = f"{user.id}: role {user.role}, {user.status}; counters of failed logins forgotten: {forgotten}"
        return done, _facts(user) | {"counters_forgotten": forgotten}
    if options.command == "list-passkeys":
        user, passkeys = accounts.list_passkeys_of(email)
        done = _lines(passkeys, f"{user.id}: role {user.role}, {user.status}; passkeys: {len(passkeys)}")
        return done, _facts(user) | {"passkeys": [_shown(passkey) for passkey in passkeys]}
    done, added = "", list[Passkey]()
    facts: dict[str, Any] = {}
    if options.command == "role":
        user = accounts.change_role(email, options.role)
    elif options.command == "remove-passkeys":
        user, removed = accounts.remove_passkeys(email, since=options.since)
        done, facts = f"passkeys removed: {removed}; ", {"passkeys_removed": removed}
    else:
        user = _CHANGES[options.command][1](email)
        if options.command == "end-sessions":
            # A session that an attacker had may have left a passkey, which outlives it.
            added = accounts.passkeys_added_since(user, datetime.now(UTC) - _RECENT)
            facts = {"passkeys_added_recently": [_shown(passkey) for passkey in added]}
    done = _lines(added, f"{user.id}: role {user.role}, {user.status}; {done}all of their sessions have ended")
    return done, _facts(user) | facts | {"sessions_ended": True}


def _lines(passkeys: Sequence[Passkey], last: str) -> str:
    """Return a line for each passkey, and ``last``."""
    lines = [f"passkey {each.id}, added {_time(each.created_at)}, {_used(each)}: {each.name}" for each in passkeys]
    return "\n".join([*lines, last])


def _used(passkey: Passkey) -> str:
    return f"last used {_time(passkey.last_used_at)}" if passkey.last_used_at else "never used"


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _shown(passkey: Passkey) -> dict[str, Any]:
    return {name: getattr(passkey, name) for name in ("id", "name", "created_at", "last_used_at", "backed_up")}


def _facts(user: Any) -> dict[str, Any]:
    return {"user_id": user.id, "role": user.role, "status": user.status}


def _fail(reason: str) -> int:
    sys.stderr.write(f"accounts: {reason}\n")
    return 1

"""``uv run accounts``: show, change, disable, unlock, verify or erase a user, clear bounces, end sessions.

It works on the database that DATABASE_URL or DATA_DIR names. The service may be running. This is the only way to create
the first admin, because no endpoint can.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from auth_common.accounts import administration as accounts
from auth_common.accounts.email_change import change_email_by_operator
from auth_common.accounts.erasure import erase_user
from auth_common.errors import NoPasskey, NotFound, ServiceError
from auth_common.mail.kinds import MailKind
from auth_common.passkeys.store import Passkey
from auth_common.passwords.reset import start_password_reset
from auth_common.users.email_address import normalise_email
from tools.operators.operator_command import add_json_option, error_text, operator_command, parse_time, print_result

_CHANGES: Final = {
    "disable": ("disable a user, who then cannot log in", accounts.disable_user),
    "enable": ("enable a disabled user", accounts.enable_user),
    "end-sessions": ("revoke all sessions of a user", accounts.revoke_sessions_of),
}
#: The commands about the address of a user.
_MAIL_COMMANDS: Final = frozenset({"change-email", "clear-bounce", "mark-verified", "start-reset"})
#: ``end-sessions`` lists passkeys that were added since then. A stolen session can be as old as a refresh token.
_RECENT: Final = timedelta(days=30)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="accounts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    role = commands.add_parser("role", help="change the role of a user")
    role.add_argument("email")
    role.add_argument("role", choices=accounts.ROLES)
    for name, (purpose, _) in _CHANGES.items():
        commands.add_parser(name, help=purpose).add_argument("email")
    unlock = commands.add_parser("unlock", help="delete the counters of failed logins of a user")
    unlock.add_argument("email")
    clear = commands.add_parser("clear-bounce", help="send mail again to a user whose address has bounced")
    clear.add_argument("email")
    verify = commands.add_parser("mark-verified", help="mark the e-mail address of a user as verified")
    verify.add_argument("email")
    verify.add_argument(
        "--keep-access",
        action="store_true",
        help="keep password, passkeys and sessions, because you know that the user of the address has set them up",
    )
    commands.add_parser("show", help="show what helps the user of an account; it is recorded").add_argument("email")
    reset = commands.add_parser("start-reset", help="send a user the link to set a new password; it is not shown here")
    reset.add_argument("email")
    change = commands.add_parser(
        "change-email", help="change the address of a user whose identity you have checked; all sessions are revoked"
    )
    change.add_argument("email")
    change.add_argument("new_email", type=_new_email)
    change.add_argument(
        "--hijacked",
        action="store_true",
        help="an attacker has the current address: it gets no notice, and cannot undo the change",
    )
    commands.add_parser("list-passkeys", help="show the passkeys of a user, newest first").add_argument("email")
    remove = commands.add_parser(
        "remove-passkeys", help="delete the passkeys of a user, for example after a loss or a theft"
    )
    remove.add_argument("email")
    remove.add_argument(
        "--since", type=parse_time, help="only passkeys that were added at or after this time: 2026-01-31T00:00:00Z"
    )
    erase = commands.add_parser("erase", help="delete a user and their personal data; the audit log stays intact")
    erase.add_argument("email")
    erase.add_argument("--yes", action="store_true", help="delete without confirmation")
    for command in commands.choices.values():
        add_json_option(command)
    options = parser.parse_args(arguments)
    try:
        if options.command == "erase" and not options.yes:
            _confirm(options.email)
        with operator_command("accounts", as_json=options.json):
            done, facts = _run(options)
    except NoPasskey:
        added = f" that was added since {options.since.isoformat()}" if options.since else ""
        return _fail(f"{options.email!r} has no passkey{added}; nothing has changed, and no session is revoked")
    except NotFound:
        return _fail(f"no user has the address {options.email!r}")
    except ServiceError as error:
        return _fail(error_text(error))
    except ValueError as error:
        return _fail(f"{options.email!r} {error}")
    return print_result(done, as_json=options.json, **facts)


class _NotConfirmedError(ServiceError):
    """The operator has not confirmed an erasure."""


def _confirm(email: str) -> None:
    """Ask the operator on the terminal to confirm the erasure of a user.

    Raises:
        _NotConfirmedError: the operator typed another text, or there is no terminal.
        ValueError: ``email`` is not an e-mail address.

    """
    expected = normalise_email(email)
    if not sys.stdin.isatty():
        raise _NotConfirmedError("erase needs a terminal for its confirmation; add --yes to erase without confirmation")
    sys.stderr.write(f"This deletes {expected} and all data of this user. Type the e-mail address to confirm: ")
    sys.stderr.flush()
    typed = ""
    with suppress(KeyboardInterrupt):
        typed = sys.stdin.readline().strip().casefold()
    if typed not in {email.casefold(), expected}:
        raise _NotConfirmedError("not confirmed; nothing was deleted")


def _run(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Run the chosen subcommand. Return its result as text, and as values by name for JSON."""
    email = normalise_email(options.email)
    if options.command == "erase":
        user_id = erase_user(email)
        return f"{user_id}: erased", {"user_id": user_id, "erased": True}
    if options.command == "unlock":
        user, deleted = accounts.unlock_user(email)
        done = f"{user.id}: role {user.role}, {user.status}; counters of failed logins deleted: {deleted}"
        return done, _user_facts(user) | {"counters_forgotten": deleted}
    if options.command in _MAIL_COMMANDS:
        return _run_mail_command(options, email)
    if options.command == "show":
        return _show(accounts.report_account(email))
    if options.command == "list-passkeys":
        user, passkeys = accounts.list_passkeys_of(email)
        done = _lines(passkeys, f"{user.id}: role {user.role}, {user.status}; passkeys: {len(passkeys)}")
        return done, _user_facts(user) | {"passkeys": [_passkey_facts(passkey) for passkey in passkeys]}
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
            # An attacker may have added a passkey in a stolen session. It stays valid when the session is revoked.
            added = accounts.passkeys_added_since(user, datetime.now(UTC) - _RECENT)
            facts = {"passkeys_added_recently": [_passkey_facts(passkey) for passkey in added]}
    done = _lines(added, f"{user.id}: role {user.role}, {user.status}; {done}all sessions are revoked")
    return done, _user_facts(user) | facts | {"sessions_ended": True}


def _run_mail_command(options: argparse.Namespace, email: str) -> tuple[str, dict[str, Any]]:
    """Run one of ``_MAIL_COMMANDS``. Return its result as ``_run`` does."""
    if options.command == "change-email":
        user = change_email_by_operator(email, options.new_email, was_hijacked=options.hijacked)
        done = f"{user.id}: role {user.role}, {user.status}; the e-mail address is changed, and not verified; "
        return done + "all sessions are revoked", _user_facts(user) | {"email_verified": False, "sessions_ended": True}
    if options.command == "clear-bounce":
        user, was_suppressed = accounts.clear_bounce(email)
        found = "gets mail again" if was_suppressed else "was not suppressed"
        done = f"{user.id}: role {user.role}, {user.status}; the address {found}"
        return done, _user_facts(user) | {"was_suppressed": was_suppressed}
    if options.command == "mark-verified":
        return _mark_verified(email, keeps_access=options.keep_access)
    user, kind = start_password_reset(email)
    sent = "set a new password" if kind is MailKind.RESET_PASSWORD else "register again, because it is not verified"
    done = f"{user.id}: role {user.role}, {user.status}; a link was sent to the address to {sent}"
    return done, _user_facts(user) | {"mail": kind.value}


def _new_email(text: str) -> str:
    """Return the normalised address of an argument.

    Raises:
        ArgumentTypeError: ``text`` is not an e-mail address.

    """
    try:
        return normalise_email(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _mark_verified(email: str, *, keeps_access: bool) -> tuple[str, dict[str, Any]]:
    if keeps_access:
        user, removed = accounts.mark_email_verified(email), 0
        rest = "password, passkeys and sessions stay valid"
    else:
        user, removed = accounts.hand_over_account(email)
        rest = f"a link to set a password was sent; passkeys removed: {removed}; all sessions are revoked"
    done = f"{user.id}: role {user.role}, {user.status}; the e-mail address is verified; {rest}"
    return done, _user_facts(user) | {"email_verified": True, "access_kept": keeps_access, "passkeys_removed": removed}


def _show(report: accounts.AccountReport) -> tuple[str, dict[str, Any]]:
    """Return a report of an account as ``_run`` does."""
    user, suppression = report.user, report.suppression
    verified_at = user.email_verified_at
    lines = [
        f"e-mail address: {f'verified {_time(verified_at)}' if verified_at else 'not verified'}",
        *(f"locked until {_time(until)}: {name}" for name, until in report.lockouts.items()),
    ]
    if suppression and suppression.bounced_at:
        lines.append(f"bounced {_time(suppression.bounced_at)}: the address gets no mail")
    if suppression and suppression.complained_at:
        lines.append(f"complained {_time(suppression.complained_at)}: the address gets no notices of logins")
    lines += [f"mail {each.kind}, queued {_time(each.created_at)}: {each.state}" for each in report.mails]
    last = f"{user.id}: role {user.role}, {user.status}; sessions: {report.sessions}; passkeys: {len(report.passkeys)}"
    facts = _user_facts(user) | {
        "created_at": user.created_at,
        "email_verified_at": verified_at,
        "lockouts": report.lockouts,
        "bounced_at": suppression and suppression.bounced_at,
        "complained_at": suppression and suppression.complained_at,
        "sessions": report.sessions,
        "passkeys": [_passkey_facts(passkey) for passkey in report.passkeys],
        "mails": [asdict(mail) for mail in report.mails],
    }
    return "\n".join([*lines, _lines(report.passkeys, last)]), facts


def _lines(passkeys: Sequence[Passkey], last: str) -> str:
    """Return a text with a line for each passkey, and the line ``last``."""
    lines = [f"passkey {each.id}, added {_time(each.created_at)}, {_last_use(each)}: {each.name}" for each in passkeys]
    return "\n".join([*lines, last])


def _last_use(passkey: Passkey) -> str:
    return f"last used {_time(passkey.last_used_at)}" if passkey.last_used_at else "never used"


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _passkey_facts(passkey: Passkey) -> dict[str, Any]:
    return {name: getattr(passkey, name) for name in ("id", "name", "created_at", "last_used_at", "backed_up")}


def _user_facts(user: Any) -> dict[str, Any]:
    return {"user_id": user.id, "role": user.role, "status": user.status}


def _fail(reason: str) -> int:
    sys.stderr.write(f"accounts: {reason}\n")
    return 1

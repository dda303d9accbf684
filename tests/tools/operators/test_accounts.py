"""``uv run accounts``: a change of an account takes effect at the next request of its user."""

import getpass
import io
import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.pool import NullPool

from auth_common.accounts import erasure
from auth_common.accounts.administration import change_role, mark_email_verified
from auth_common.audit.verification import verify_audit_log
from auth_common.database.tables import audit_events, audit_salts, challenges, passkeys, refresh_tokens, sessions, users
from auth_common.events.logger import logger
from auth_common.mail.suppression_store import select_suppression, suppress_address
from auth_common.transactions import read, transaction
from tests.support.databases import start_fresh_environment
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    get_user,
    is_session_accepted,
    log_in,
    refresh,
    register,
    sign_up,
)
from tests.support.log_lines import flatten_event
from tests.support.mail_links import complete_reset, newest_mail, queued_mails, verify_email
from tests.support.passkeys import begin_login, enrol
from tests.support.runtime import closed_pipe, run_project_command
from tools.operators.accounts import main
from tools.operators.operator_command import operator_command

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]


COMMANDS = [
    *(["role", EMAIL, "admin"], ["disable", EMAIL], ["enable", EMAIL], ["end-sessions", EMAIL]),
    ["erase", EMAIL, "--yes"],
]
#: The security event of each of them.
EVENTS = ["authz_change", "user_disabled", "user_enabled", "authn_token_revoked", "user_deleted"]


@pytest.fixture
def account(database):
    return sign_up()


def is_logged_in(account):
    return is_session_accepted(account.id, asdict(account))


def sign_in(account):
    pair = log_in(account.email).json
    return replace(account, access_token=pair["access_token"], refresh_token=pair["refresh_token"])


def event_in(lines):
    """Return the only security event in log lines, apart from the start of an audit chain (``sys_startup``)."""
    documents = [json.loads(line) for line in lines.splitlines()]
    (event,) = (document["security_event"] for document in documents if document["message"] != "sys_startup")
    return flatten_event(event)


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.asvs("6.3.2")
def test_role_command_gives_each_role_and_only_an_admin_reads_other_users(database, account, capsys):
    """The command accepts the e-mail address in any case, with blanks around it."""
    other = sign_up("other@example.com")
    for role, status in (("security", 403), ("admin", 200), ("user", 403)):
        assert main(["role", f" {EMAIL.upper()}\t", role]) == 0
        assert last_line(capsys) == f"{account.id}: role {role}, active; all sessions are revoked"
        roles = database.execute(select(users.c.role, users.c.status).where(users.c.id == UUID(account.id)))
        assert roles == [(role, "active")]
        assert get_user(other.id, token=log_in().json["access_token"]).status == status


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("7.4.2", "7.4.5", "10.4.9")
@pytest.mark.threat("operator-becomes-admin", "operator-denies-command")
@pytest.mark.parametrize(("command", "event"), list(zip(COMMANDS, EVENTS, strict=True)), ids=EVENTS)
def test_change_revokes_sessions_and_is_recorded_with_its_operator(database, account, capsys, command, event):
    """The log line is on stderr, because stdout has only the command's result."""
    other = sign_up("other@example.com")
    capsys.readouterr()
    assert main(command) == 0
    answer, lines = capsys.readouterr()
    assert len(answer.splitlines()) == 1
    operator = getpass.getuser()
    expected = {"name": event, "user_id": account.id, "reason": "by_operator", "operator": operator}
    recorded = event_in(lines)
    assert expected.items() <= recorded.items()
    assert recorded.get("role") == ("admin" if event == "authz_change" else None)
    stored = database.execute(select(audit_events.c.record).where(audit_events.c.name == event))[-1].record
    assert (json.loads(stored)["function"], json.loads(stored)["detail"]["operator"]) == ("accounts", operator)
    assert not is_logged_in(account)
    assert is_logged_in(other)
    if command[0] in {"role", "enable", "end-sessions"}:
        assert refresh(log_in().json["refresh_token"]).status == 200


@pytest.mark.asvs("6.5.6")
def test_disabled_user_cannot_log_in_until_enabled(account, capsys):
    main(["disable", EMAIL])
    assert last_line(capsys) == f"{account.id}: role user, disabled; all sessions are revoked"
    assert log_in().code == "invalid_credentials"
    main(["enable", EMAIL])
    assert log_in().status == 200
    assert not is_logged_in(account)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_unlocked_user_can_log_in_and_keeps_sessions(account, capsys):
    for number in range(20):
        log_in(password="another password entirely", sourceIp=f"192.0.2.{number}")
    assert log_in(sourceIp="192.0.2.99").status == 429
    capsys.readouterr()
    assert main(["unlock", EMAIL]) == 0
    report, lines = capsys.readouterr()
    assert report == f"{account.id}: role user, active; counters of failed logins deleted: 1\n"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["reason"]) == ("user_updated", "unlocked_by_operator")
    assert recorded["user_id"] == account.id
    assert log_in(sourceIp="192.0.2.99").status == 200
    assert is_logged_in(account)


@pytest.mark.threat("operator-denies-command")
def test_mark_verified_keeps_access_on_request_and_is_recorded_with_its_operator(account, capsys):
    capsys.readouterr()
    assert main(["mark-verified", EMAIL, "--keep-access", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["email_verified"] is True
    event = event_in(output.err)
    assert (event["name"], event["reason"]) == ("user_email_verified", "by_operator")
    assert event["operator"] == getpass.getuser()
    assert get_user(account.id, token=account.access_token).json["email_verified"] is True
    assert main(["mark-verified", "nobody@example.com"]) == 1
    assert main(["mark-verified", "nobody@example.com", "--keep-access"]) == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.threat("function-pre-hijacking")
def test_mark_verified_ends_what_an_attacker_has_set_up(database, account, capsys):
    """An attacker has registered the victim's address, with a password, a passkey and a session."""
    holder = enrol(account)
    attackers_link = newest_mail(database, EMAIL, "verify_email").token
    pair = holder.log_in().json
    capsys.readouterr()
    assert main(["mark-verified", EMAIL, "--json"]) == 0
    result, lines = capsys.readouterr()
    facts = json.loads(result)
    assert (facts["email_verified"], facts["access_kept"], facts["passkeys_removed"]) == (True, False, 1)
    assert get_user(account.id, token=pair["access_token"]).status == 401
    assert refresh(pair["refresh_token"]).status == 401
    assert log_in().status == 401
    assert holder.log_in_with_passkey_alone().status == 401
    assert verify_email(token=attackers_link, password=PASSWORD).status == 400
    token = newest_mail(database, EMAIL, "reset_password").token
    assert token not in result + lines
    assert complete_reset(token).status == 204
    assert log_in(password=NEW_PASSWORD).json["step_up_token"]
    assert get_user(account.id, token=log_in(password=NEW_PASSWORD).json["access_token"]).json["email_verified"] is True


def test_mark_verified_of_a_pending_account_lets_its_user_in_by_the_link(database, monkeypatch):
    monkeypatch.setenv("EMAIL_VERIFICATION", "required")
    start_fresh_environment()
    register()
    assert main(["mark-verified", EMAIL]) == 0
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token).status == 204
    assert log_in(password=NEW_PASSWORD).status == 200


@pytest.mark.parametrize("reason", ["is verified already", "has a disabled account", "no mail"])
def test_mark_verified_changes_nothing_if_the_user_could_not_set_a_password(
    database, account, capsys, monkeypatch, reason
):
    if reason == "is verified already":
        mark_email_verified(EMAIL)
    elif reason == "has a disabled account":
        main(["disable", EMAIL])
    else:
        monkeypatch.setenv("MAIL_TRANSPORT", "none")
        start_fresh_environment()
    before = database.execute(select(users))
    capsys.readouterr()
    assert main(["mark-verified", EMAIL]) == 1
    assert reason in capsys.readouterr().err
    assert database.execute(select(users)) == before


@pytest.mark.asvs("6.4.6")
@pytest.mark.threat("operator-denies-command")
def test_show_reports_an_account_without_secrets_and_is_recorded(database, account, capsys):
    holder = enrol(account)
    mail = newest_mail(database, EMAIL, "verify_email")
    now = datetime.now(UTC)
    bounced, ends = now - timedelta(days=1), now + timedelta(days=1)
    transaction(lambda c: suppress_address(c, email=EMAIL, bounced_at=bounced, complained_at=now, expires_at=ends))
    for number in range(20):
        log_in(password="wrong", sourceIp=f"192.0.2.{number}")
    capsys.readouterr()
    assert main(["show", EMAIL]) == 0
    text, lines = capsys.readouterr()
    for part in ("not verified", "login_account", "bounced", "complained", "verify_email", "queued", "sessions: 1"):
        assert part in text, part
    assert f"passkey {holder.passkey_id}" in text
    event = event_in(lines)
    assert (event["name"], event["target"], event["operator"]) == ("sensitive_read", "account", getpass.getuser())
    assert main(["show", EMAIL, "--json"]) == 0
    as_json = capsys.readouterr().out
    facts = json.loads(as_json)
    assert facts["sessions"] == 1
    assert facts["lockouts"].keys() == {"login_account"}
    assert ("verify_email", "queued") in [(each["kind"], each["state"]) for each in facts["mails"]]
    for secret in (mail.token, mail.code, PASSWORD, "$2b$", "203.0.113.7"):
        assert secret not in text + as_json
    assert main(["show", "nobody@example.com"]) == 1


def test_show_of_a_verified_account_that_nothing_locks(account, capsys):
    main(["mark-verified", EMAIL, "--keep-access"])
    capsys.readouterr()
    assert main(["show", EMAIL]) == 0
    text = capsys.readouterr().out
    assert "e-mail address: verified" in text
    assert not any(word in text for word in ("locked", "bounced", "complained"))


NEW_EMAIL = "new@example.com"


@pytest.mark.threat("operator-denies-command")
def test_change_email_revokes_sessions_reserves_the_address_and_tells_its_user(database, account, capsys):
    mark_email_verified(EMAIL)
    capsys.readouterr()
    assert main(["change-email", EMAIL, f" {NEW_EMAIL.upper()} ", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["email_verified"] is False
    event = event_in(output.err)
    assert (event["name"], event["reason"]) == ("user_email_changed", "by_operator")
    assert event["operator"] == getpass.getuser()
    assert not is_logged_in(account)
    notice = newest_mail(database, EMAIL, "email_changed")
    assert notice.undo_token
    assert register().status == 409
    token = newest_mail(database, NEW_EMAIL, "verify_email").token
    assert verify_email(token=token, password=PASSWORD).status == 204
    pair = log_in(NEW_EMAIL).json
    assert get_user(account.id, token=pair["access_token"]).json["email_verified"] is True


def test_change_email_of_an_unverified_account_reserves_no_address_and_sends_no_notice(database, account):
    """Its address may belong to another user, who must be able to register."""
    assert main(["change-email", EMAIL, NEW_EMAIL]) == 0
    assert [mail.kind for mail in queued_mails(database, EMAIL)] == ["verify_email"]
    assert register().status == 201


def test_change_email_to_a_taken_reserved_own_or_invalid_address_changes_nothing(database, account, capsys):
    mark_email_verified(EMAIL)
    assert main(["change-email", EMAIL, NEW_EMAIL]) == 0
    other = sign_up("other@example.com")
    capsys.readouterr()
    for new_email in (NEW_EMAIL, EMAIL, "other@example.com"):
        assert main(["change-email", "other@example.com", new_email]) == 1
        assert capsys.readouterr().out == ""
    assert main(["change-email", "nobody@example.com", "else@example.com"]) == 1
    with pytest.raises(SystemExit):
        main(["change-email", "other@example.com", "no address"])
    assert is_logged_in(other)


@pytest.mark.asvs("6.4.6")
@pytest.mark.threat("operator-denies-command")
def test_start_reset_sends_a_link_that_the_operator_does_not_see(database, account, capsys):
    mark_email_verified(EMAIL)
    capsys.readouterr()
    assert main(["start-reset", EMAIL]) == 0
    output = capsys.readouterr()
    token = newest_mail(database, EMAIL, "reset_password").token
    assert token not in output.out + output.err
    event = event_in(output.err)
    assert (event["name"], event["reason"]) == ("authn_password_reset_requested", "by_operator")
    assert complete_reset(token).status == 204
    assert log_in(password=NEW_PASSWORD).status == 200


def test_start_reset_of_an_unverified_disabled_or_unknown_account(database, account, capsys, monkeypatch):
    assert main(["start-reset", EMAIL]) == 0
    assert [mail.kind for mail in queued_mails(database, EMAIL)] == ["verify_email", "register_again"]
    assert main(["disable", EMAIL]) == 0
    capsys.readouterr()
    assert main(["start-reset", EMAIL]) == 1
    assert "disabled" in capsys.readouterr().err
    assert main(["start-reset", "nobody@example.com"]) == 1
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    assert main(["start-reset", EMAIL]) == 1
    assert len(queued_mails(database, EMAIL)) == 2


def test_command_for_an_unknown_user_is_an_error(database, capsys):
    for command in (
        *COMMANDS,
        *([name, EMAIL] for name in ("remove-passkeys", "list-passkeys", "unlock", "clear-bounce", "show")),
    ):
        assert main(command) == 1
        assert capsys.readouterr() == ("", f"accounts: no user has the address '{EMAIL}'\n"), command


@pytest.mark.asvs("6.4.4")
def test_remove_passkeys_deletes_and_counts_them(database, capsys):
    holder, other = enrol(), enrol(sign_up("other@example.com"))
    token = holder.log_in().json["access_token"]
    enrol(replace(holder.account, access_token=token))
    capsys.readouterr()
    assert main(["remove-passkeys", EMAIL]) == 0
    report, lines = capsys.readouterr()
    user_id = holder.account.id
    assert report == f"{user_id}: role user, active; passkeys removed: 2; all sessions are revoked\n"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["user_id"]) == ("authn_passkey_removed", user_id)
    assert (recorded["reason"], recorded["passkeys_removed"]) == ("by_operator", 2)
    assert get_user(user_id, token=token).status == 401
    assert is_logged_in(sign_in(holder.account))
    assert other.log_in().status == 200


def test_user_without_a_passkey_is_reported_and_nothing_changes(database, account, capsys):
    before = database.execute(select(users))
    capsys.readouterr()
    assert main(["remove-passkeys", EMAIL]) == 1
    out, err = capsys.readouterr()
    assert (out, "has no passkey" in err) == ("", True)
    assert database.execute(select(users)) == before
    assert is_logged_in(account)


def passkeys_of(database):
    rows = database.execute(select(passkeys.c.id, passkeys.c.created_at).order_by(passkeys.c.created_at))
    return {str(row.id): row.created_at for row in rows}


@pytest.fixture
def attacked_user(database):
    """A user with a passkey of 40 days ago, to whose account an attacker has added another passkey today."""
    holder = enrol()
    database.execute(update(passkeys).values(created_at=datetime.now(UTC) - timedelta(days=40)))
    enrol(replace(holder.account, access_token=holder.log_in().json["access_token"]))
    return holder


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_passkeys_are_listed_newest_first_and_the_reading_is_recorded(database, attacked_user, capsys):
    capsys.readouterr()
    assert main(["list-passkeys", EMAIL]) == 0
    report, lines = capsys.readouterr()
    old, new = passkeys_of(database)
    assert old == attacked_user.passkey_id
    first, second, last = report.splitlines()
    assert new in first
    assert "never used" in first
    assert old in second
    assert "last used" in second
    assert last == f"{attacked_user.account.id}: role user, active; passkeys: 2"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["reason"]) == ("sensitive_read", "by_operator")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.threat("function-stolen-access-token")
def test_passkeys_added_since_a_theft_are_removed_and_the_others_stay(database, attacked_user, capsys):
    token = attacked_user.log_in().json["access_token"]
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert main(["remove-passkeys", EMAIL, "--since", since]) == 0
    assert "passkeys removed: 1" in last_line(capsys)
    assert passkeys_of(database).keys() == {attacked_user.passkey_id}
    assert get_user(attacked_user.account.id, token=token).status == 401
    assert attacked_user.log_in().status == 200
    assert main(["remove-passkeys", EMAIL, "--since", since]) == 1
    assert f"has no passkey that was added since {since}" in capsys.readouterr().err


def test_end_sessions_lists_recently_added_passkeys(database, attacked_user, capsys):
    capsys.readouterr()
    assert main(["end-sessions", EMAIL]) == 0
    first, last = capsys.readouterr().out.splitlines()
    _, new = passkeys_of(database)
    assert new in first
    assert last.endswith("all sessions are revoked")
    assert main(["end-sessions", EMAIL, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [passkey["id"] for passkey in shown["passkeys_added_recently"]] == [new]


def test_wrong_command_line_changes_nothing_and_shows_the_usage(database, account, capsys):
    before = database.execute(select(users))
    wrong = [[], ["promote", EMAIL], ["disable"], ["role", EMAIL], ["role", EMAIL, "root"], ["disable", EMAIL, "now"]]
    for arguments in (*wrong, ["remove-passkeys", EMAIL, "--since", "2026-01-31T00:00:00"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: accounts" in capsys.readouterr().err, arguments
    assert database.execute(select(users)) == before


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("14.2.7")
def test_erasure_deletes_its_user_only_and_frees_the_address(database, capsys):
    holder, other = enrol(), enrol(sign_up("other@example.com"))
    token = holder.log_in().json["refresh_token"]
    refresh(token)
    begin_login(holder.get_mfa_token())
    assert main(["erase", EMAIL, "--yes"]) == 0
    assert last_line(capsys) == f"{holder.account.id}: erased"
    for table in (users, sessions, passkeys, challenges, audit_salts):
        owner = table.c.id if table is users else table.c.user_id
        rows = database.execute(select(owner).where(owner.is_not(None)))
        assert {str(row[0]) for row in rows} <= {other.account.id}
    remaining = {row.id for row in database.execute(select(sessions.c.id))}
    assert {row.session_id for row in database.execute(select(refresh_tokens.c.session_id))} <= remaining
    assert get_user(holder.account.id, token=holder.account.access_token).status == 401
    assert log_in().code == "invalid_credentials"
    assert other.log_in().status == 200
    assert verify_audit_log().findings == []
    assert sign_up().id != holder.account.id


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_erasure_of_many_records_works_in_batches(database, monkeypatch):
    monkeypatch.setattr(erasure, "BATCH_ROWS", 2)
    account = sign_up()
    for _ in range(5):
        log_in()
    assert main(["erase", EMAIL, "--yes"]) == 0
    of_user = audit_events.c.user_id == UUID(account.id)
    assert database.execute(select(audit_events.c.source).where(of_user, audit_events.c.source.is_not(None))) == []
    assert database.count(refresh_tokens) == database.count(users) == 0


@pytest.mark.usefixtures("environment")
def test_invalid_address_setting_or_folder_is_an_error_with_its_reason(monkeypatch, tmp_path, capsys):
    """The command creates no database in a missing folder. A mistyped DATA_DIR would look like an unknown user."""
    assert main(["disable", "person"]) == 1
    assert capsys.readouterr() == ("", "accounts: 'person' is not a valid e-mail address\n")
    wrong = {"BCRYPT_COST": "99", "DATA_DIR": str(tmp_path / "mistyped")}
    for (name, value), reason in zip(wrong.items(), ("accounts: BCRYPT_COST: ", "there is no folder"), strict=True):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            start_fresh_environment()
            assert main(["disable", EMAIL]) == 1
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()


def test_unknown_role_is_rejected_by_the_service(database, account):
    with pytest.raises(ValueError, match="the role must be one of: user, security, admin"):
        change_role(EMAIL, "root")
    assert database.execute(select(users.c.role, users.c.token_version)) == [("user", 0)]


def test_installed_command_revokes_sessions(database, account):
    done = run_project_command(f"accounts end-sessions {EMAIL}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{account.id}: role user, active; all sessions are revoked\n"
    assert not is_logged_in(account)
    assert database.count(sessions) == 1


# --- Erasure ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_erasure_without_terminal_or_yes_deletes_nothing(database, account, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{EMAIL}\n"))
    capsys.readouterr()
    assert main(["erase", EMAIL]) == 1
    out, err = capsys.readouterr()
    assert (out, "--yes" in err) == ("", True)
    assert is_logged_in(account)


@pytest.mark.parametrize(
    ("typed", "status"), [(EMAIL, 0), (EMAIL.upper(), 0), ("yes", 1), ("", 1), ("other@example.com", 1), (None, 1)]
)
def test_erasure_on_a_terminal_requires_the_email_address(database, account, monkeypatch, typed, status):
    def interrupt():
        raise KeyboardInterrupt

    terminal = Terminal(f"{typed}\n" if typed else "")
    monkeypatch.setattr(sys, "stdin", terminal)
    if typed is None:
        monkeypatch.setattr(terminal, "readline", interrupt)
    assert main(["erase", EMAIL]) == status
    assert database.count(users) == status


@pytest.mark.asvs("14.2.7")
@pytest.mark.threat("database-read-or-backup")
def test_erasure_leaves_nothing_of_the_user_in_the_files_of_sqlite(database, environment):
    register(name="Zebulon Quixote", email="zebulon@example.com", job_title="Falconer")
    sign_up("other@example.com")
    for _ in range(30):
        log_in("zebulon@example.com", userAgent="Quixotebrowser/1")
    transaction(lambda c: c.execute(update(users).values(job_title=users.c.job_title + " of the court")))
    (user,) = database.execute(select(users).where(users.c.name == "Zebulon Quixote"))
    (salt,) = database.execute(select(audit_salts.c.salt).where(audit_salts.c.user_id == user.id))
    traces = [b"Zebulon", b"zebulon", b"Falconer", b"Quixotebrowser", user.password_hash.encode(), salt.salt]
    assert all(trace in stored_bytes(environment) for trace in traces)
    assert main(["erase", "zebulon@example.com", "--yes"]) == 0
    left = stored_bytes(environment)
    assert [trace for trace in traces if trace in left] == []
    assert b"other@example.com" in left


def stored_bytes(folder):
    return b"".join(file.read_bytes() for file in folder.glob("secure-backend.sqlite3*"))


def test_erasure_while_another_process_reads_warns_about_old_pages(database, account, monkeypatch, capsys):
    """The user is deleted, but the write-ahead log contains old pages until the reader has finished."""
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")
    start_fresh_environment()
    with create_engine(database.url, poolclass=NullPool).connect() as reader:
        reader.exec_driver_sql("BEGIN")
        assert len(reader.execute(select(users)).all()) == 1
        assert main(["erase", EMAIL, "--yes"]) == 0
        assert "write-ahead log" in capsys.readouterr().err
    assert database.count(users) == 0


# --- Terminals and pipes ----------------------------------------------------------------------------------------------


def test_result_as_json_has_the_same_facts(account, capsys):
    capsys.readouterr()
    assert main(["role", EMAIL, "admin", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"user_id": account.id, "role": "admin", "status": "active", "sessions_ended": True}
    main(["unlock", EMAIL, "--json"])
    assert json.loads(capsys.readouterr().out)["counters_forgotten"] == 0
    main(["erase", EMAIL, "--yes", "--json"])
    assert json.loads(capsys.readouterr().out) == {"user_id": account.id, "erased": True}


def test_log_lines_are_on_a_terminal_only_with_json(account, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    capsys.readouterr()
    main(["disable", EMAIL])
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    main(["enable", EMAIL, "--json"])
    assert event_in(capsys.readouterr().err)["name"] == "user_enabled"


def test_warning_on_a_terminal_is_plain_text(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with operator_command("accounts"):
        logger.info("a detail")
        logger.warning("something \x1b[2J odd")
    assert capsys.readouterr().err == "warning: something \\x1b[2J odd\n"


def test_log_line_names_the_command_and_after_it_the_service(capsys):
    logger.warning("before")
    with operator_command("accounts"):
        logger.warning("within")
    logger.warning("after")
    out, err = capsys.readouterr()
    before, after = map(json.loads, out.splitlines())
    assert (json.loads(err)["service"], after["service"]) == ("accounts", before["service"])


def test_result_into_a_closed_pipe_is_no_error(database, account):
    """As in `accounts disable person@example.com | true`. The change is committed."""
    with closed_pipe() as pipe:
        done = run_project_command(f"accounts disable {EMAIL}", stdout=pipe)
    assert (done.returncode, "Traceback" in done.stderr, "BrokenPipe" in done.stderr) == (0, False, False)
    assert log_in().status == 401


@pytest.mark.mail
def test_cleared_bounce_lets_mail_go_to_the_user_again(account, capsys):
    now = datetime.now(UTC)
    transaction(lambda c: suppress_address(c, email=EMAIL, bounced_at=now, expires_at=now + timedelta(days=1)))
    assert main(["clear-bounce", EMAIL]) == 0
    assert capsys.readouterr().out.endswith("the address gets mail again\n")
    assert read(lambda c: select_suppression(c, email=EMAIL, now=now)) is None
    assert main(["clear-bounce", EMAIL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["was_suppressed"] is False

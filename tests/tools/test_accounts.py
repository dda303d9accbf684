"""``uv run accounts``: what an operator does to an account takes effect at its next request."""

import getpass
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.pool import NullPool

from auth_common.db.engine import transaction
from auth_common.db.tables import (
    audit_events,
    audit_salts,
    challenges,
    passkeys,
    refresh_tokens,
    sessions,
    users,
)
from auth_common.monitoring.logger import logger
from auth_common.services import erasure
from auth_common.services.accounts import change_role
from auth_common.services.audit_verification import verify_audit_log
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, get_user, log_in, refresh, register, sign_up
from tests.support.log_lines import in_short
from tests.support.passkeys import begin_login, enrol
from tools.accounts import main
from tools.operation import operation

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]

PROJECT = Path(__file__).parents[2]
COMMANDS = [
    ["role", EMAIL, "admin"],
    ["disable", EMAIL],
    ["enable", EMAIL],
    ["end-sessions", EMAIL],
    ["erase", EMAIL, "--yes"],
]


@pytest.fixture
def person(database):
    return sign_up()


def is_logged_in(account):
    works = get_user(account.id, token=account.access_token).status == 200
    assert (refresh(account.refresh_token).status == 200) is works
    return works


def sign_in(account):
    pair = log_in(account.email).json
    return replace(account, access_token=pair["access_token"], refresh_token=pair["refresh_token"])


def event_in(lines):
    """Return the security event among log lines that is not the beginning of a chain."""
    documents = [json.loads(line) for line in lines.splitlines()]
    (event,) = (document["security_event"] for document in documents if document["message"] != "sys_startup")
    return in_short(event)


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_role_command_gives_each_role(database, person, capsys):
    for role in ("security", "admin", "user"):
        assert main(["role", EMAIL, role]) == 0
        assert last_line(capsys) == f"{person.id}: role {role}, active; all of their sessions have ended"
        assert database.execute(select(users.c.role, users.c.status)) == [(role, "active")]


def test_address_with_blanks_around_it_finds_its_account(database, person):
    assert main(["role", f" {EMAIL.upper()}\t", "admin"]) == 0
    assert database.execute(select(users.c.role)) == [("admin",)]


@pytest.mark.asvs("6.3.2")
def test_the_first_admin_sees_others(person):
    other = sign_up("other@example.com")
    main(["role", EMAIL, "admin"])
    token = log_in().json["access_token"]
    assert get_user(other.id, token=token).status == 200
    main(["role", EMAIL, "user"])
    token = log_in().json["access_token"]
    assert get_user(other.id, token=token).status == 403


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("7.4.2", "7.4.5", "10.4.9")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_change_ends_the_users_sessions_and_nobody_elses(person, command):
    other = sign_up("other@example.com")
    assert main(command) == 0
    assert not is_logged_in(person)
    assert is_logged_in(other)


@pytest.mark.parametrize("command", [["role", EMAIL, "admin"], ["enable", EMAIL], ["end-sessions", EMAIL]])
@pytest.mark.usefixtures("person")
def test_the_user_may_log_in_again(command):
    main(command)
    pair = log_in().json
    assert refresh(pair["refresh_token"]).status == 200


@pytest.mark.asvs("6.5.6")
def test_a_disabled_user_cannot_log_in_until_they_are_enabled(person, capsys):
    main(["disable", EMAIL])
    assert last_line(capsys) == f"{person.id}: role user, disabled; all of their sessions have ended"
    assert log_in().code == "invalid_credentials"
    main(["enable", EMAIL])
    assert log_in().status == 200
    assert not is_logged_in(person)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_an_account_is_unlocked_and_no_session_ends(person, capsys):
    for number in range(20):
        log_in(password="another password entirely", sourceIp=f"192.0.2.{number}")
    assert log_in(sourceIp="192.0.2.99").status == 429
    capsys.readouterr()
    assert main(["unlock", EMAIL]) == 0
    report, lines = capsys.readouterr()
    assert report == f"{person.id}: role user, active; counters of failed logins forgotten: 1\n"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["reason"]) == ("user_updated", "unlocked_by_operator")
    assert recorded["user_id"] == person.id
    assert log_in(sourceIp="192.0.2.99").status == 200
    assert is_logged_in(person)


def test_nobody_is_unlocked_where_there_is_nobody(database, capsys):
    assert main(["unlock", EMAIL]) == 1
    assert capsys.readouterr().err == f"accounts: no user has the address {EMAIL!r}\n"


@pytest.mark.asvs("6.4.4")
def test_lost_passkeys_are_removed_and_counted(database, capsys):
    holder, other = enrol(), enrol(sign_up("other@example.com"))
    token = holder.log_in().json["access_token"]
    enrol(replace(holder.account, access_token=token))
    capsys.readouterr()
    assert main(["remove-passkeys", EMAIL]) == 0
    report, lines = capsys.readouterr()
    user_id = holder.account.id
    assert report == f"{user_id}: role user, active; passkeys removed: 2; all of their sessions have ended\n"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["user_id"]) == ("authn_passkey_removed", user_id)
    assert (recorded["reason"], recorded["passkeys_removed"]) == ("by_operator", 2)
    assert get_user(user_id, token=token).status == 401
    assert is_logged_in(sign_in(holder.account))
    assert other.log_in().status == 200


def test_who_has_no_passkey_is_said_to_have_none_and_nothing_changes(database, person, capsys):
    before = database.execute(select(users))
    capsys.readouterr()
    assert main(["remove-passkeys", EMAIL]) == 1
    assert capsys.readouterr() == (
        "",
        f"accounts: '{EMAIL}' has no passkey; nothing has changed, and no session has ended\n",
    )
    assert database.execute(select(users)) == before
    assert is_logged_in(person)


def passkeys_of(database):
    rows = database.execute(select(passkeys.c.id, passkeys.c.created_at).order_by(passkeys.c.created_at))
    return {str(row.id): row.created_at for row in rows}


@pytest.fixture
def robbed(database):
    """A user with a passkey of a week ago, to whose account an attacker has added another one today."""
    holder = enrol()
    database.execute(update(passkeys).values(created_at=datetime.now(UTC) - timedelta(days=40)))
    enrol(replace(holder.account, access_token=holder.log_in().json["access_token"]))
    return holder


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_passkeys_are_listed_newest_first_and_the_reading_is_recorded(database, robbed, capsys):
    capsys.readouterr()
    assert main(["list-passkeys", EMAIL]) == 0
    report, lines = capsys.readouterr()
    old, new = passkeys_of(database)
    assert old == robbed.passkey_id
    first, second, last = report.splitlines()
    assert new in first
    assert "never used" in first
    assert old in second
    assert "last used" in second
    assert last == f"{robbed.account.id}: role user, active; passkeys: 2"
    recorded = event_in(lines)
    assert (recorded["name"], recorded["reason"]) == ("sensitive_read", "by_operator")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.threat("function-stolen-access-token")
def test_passkeys_added_since_a_theft_are_removed_and_the_others_stay(database, robbed, capsys):
    token = robbed.log_in().json["access_token"]
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert main(["remove-passkeys", EMAIL, "--since", since]) == 0
    assert "passkeys removed: 1" in last_line(capsys)
    assert passkeys_of(database).keys() == {robbed.passkey_id}
    assert get_user(robbed.account.id, token=token).status == 401
    assert robbed.log_in().status == 200
    assert main(["remove-passkeys", EMAIL, "--since", since]) == 1
    assert f"has no passkey that was added since {since}" in capsys.readouterr().err


def test_end_of_sessions_shows_passkeys_that_were_added_recently(database, robbed, capsys):
    capsys.readouterr()
    assert main(["end-sessions", EMAIL]) == 0
    first, last = capsys.readouterr().out.splitlines()
    _, new = passkeys_of(database)
    assert new in first
    assert last.endswith("all of their sessions have ended")
    assert main(["end-sessions", EMAIL, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [passkey["id"] for passkey in shown["passkeys_added_recently"]] == [new]


@pytest.mark.usefixtures("database")
def test_passkeys_of_no_user_are_not_listed(capsys):
    assert main(["list-passkeys", EMAIL]) == 1
    assert capsys.readouterr().err == f"accounts: no user has the address {EMAIL!r}\n"


@pytest.mark.usefixtures("database")
def test_time_without_a_zone_is_rejected(capsys):
    with pytest.raises(SystemExit):
        main(["remove-passkeys", EMAIL, "--since", "2026-01-31T00:00:00"])
    assert "needs a zone" in capsys.readouterr().err


@pytest.mark.usefixtures("person")
def test_the_address_may_be_written_in_any_case(capsys):
    assert main(["disable", "PERSON@Example.COM"]) == 0


@pytest.mark.threat("operator-becomes-admin", "operator-denies-command")
@pytest.mark.parametrize(
    ("command", "event"),
    [
        (COMMANDS[0], {"name": "authz_change", "role": "admin"}),
        (COMMANDS[1], {"name": "user_disabled"}),
        (COMMANDS[2], {"name": "user_enabled"}),
        (COMMANDS[3], {"name": "authn_token_revoked"}),
        (COMMANDS[4], {"name": "user_deleted"}),
    ],
)
def test_each_change_is_recorded_with_who_made_it(database, person, capsys, command, event):
    """On stderr: standard output is the command's answer."""
    capsys.readouterr()
    main(command)
    answer, lines = capsys.readouterr()
    recorded = event_in(lines)
    operator = getpass.getuser()
    expected = {"user_id": person.id, "reason": "by_operator", "operator": operator, **event}
    assert expected.items() <= recorded.items()
    assert len(answer.splitlines()) == 1
    stored = database.execute(select(audit_events.c.record).where(audit_events.c.name == event["name"]))[-1].record
    assert (json.loads(stored)["function"], json.loads(stored)["detail"]["operator"]) == ("accounts", operator)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.asvs("14.2.7")
def test_erasure_deletes_the_person_and_nobody_else(database, capsys):
    holder, other = enrol(), enrol(sign_up("other@example.com"))
    token = holder.log_in().json["refresh_token"]
    refresh(token)
    begin_login(holder.give_password())
    assert main(["erase", EMAIL, "--yes"]) == 0
    assert last_line(capsys) == f"{holder.account.id}: erased"
    for table in (users, sessions, passkeys, challenges, audit_salts):
        owner = table.c.id if table is users else table.c.user_id
        rows = database.execute(select(owner).where(owner.is_not(None)))
        assert {str(row[0]) for row in rows} <= {other.account.id}
    owned = {row.id for row in database.execute(select(sessions.c.id))}
    assert {row.session_id for row in database.execute(select(refresh_tokens.c.session_id))} <= owned
    assert get_user(holder.account.id, token=holder.account.access_token).status == 401
    assert log_in().code == "invalid_credentials"
    assert other.log_in().status == 200
    assert verify_audit_log().findings == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_erasure_goes_in_batches(database, monkeypatch):
    monkeypatch.setattr(erasure, "BATCH", 2)
    account = sign_up()
    for _ in range(5):
        log_in()
    assert main(["erase", EMAIL, "--yes"]) == 0
    theirs = audit_events.c.user_id == UUID(account.id)
    assert database.execute(select(audit_events.c.source).where(theirs, audit_events.c.source.is_not(None))) == []
    assert database.count(refresh_tokens) == database.count(users) == 0


def test_the_address_is_free_after_an_erasure(person):
    main(["erase", EMAIL, "--yes"])
    assert sign_up().id != person.id


def test_unknown_user_is_reported(database, capsys):
    for command in (*COMMANDS, ["remove-passkeys", EMAIL]):
        assert main(command) == 1
        assert capsys.readouterr() == ("", f"accounts: no user has the address '{EMAIL}'\n"), command


@pytest.mark.usefixtures("environment")
def test_what_is_no_address_is_said_to_be_none(capsys):
    assert main(["disable", "person"]) == 1
    assert capsys.readouterr() == ("", "accounts: 'person' is not a valid e-mail address\n")


def test_wrong_command_line_changes_nothing_and_shows_the_usage(database, person, capsys):
    before = database.execute(select(users))
    wrong = [[], ["promote", EMAIL], ["disable"], ["role", EMAIL], ["role", EMAIL, "root"], ["disable", EMAIL, "now"]]
    for arguments in wrong:
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: accounts" in capsys.readouterr().err, arguments
    assert database.execute(select(users)) == before


def test_the_service_itself_knows_no_other_roles(database, person):
    with pytest.raises(ValueError, match="the roles are: user, security, admin"):
        change_role(EMAIL, "root")
    assert database.execute(select(users.c.role, users.c.token_version)) == [("user", 0)]


@pytest.mark.usefixtures("environment")
def test_a_wrong_setting_is_named(monkeypatch, capsys):
    monkeypatch.setenv("BCRYPT_COST", "99")
    assert main(["disable", EMAIL]) == 1
    assert capsys.readouterr().err.startswith("accounts: BCRYPT_COST: ")


@pytest.mark.usefixtures("environment")
def test_without_the_data_folder_it_makes_no_database(monkeypatch, tmp_path, capsys):
    """Else a mistyped DATA_DIR would look like a user who is not there."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "mistyped"))
    assert main(["disable", EMAIL]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()


def test_the_installed_command_works(database, person):
    command = Path(sys.executable).with_name("accounts")
    done = subprocess.run(
        [command, "end-sessions", EMAIL], cwd=PROJECT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{person.id}: role user, active; all of their sessions have ended\n"
    assert not is_logged_in(person)
    assert database.count(sessions) == 1


# --- Erasure ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_erasure_without_terminal_or_yes_deletes_nothing(database, person, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{EMAIL}\n"))
    capsys.readouterr()
    assert main(["erase", EMAIL]) == 1
    out, err = capsys.readouterr()
    assert (out, "--yes" in err) == ("", True)
    assert is_logged_in(person)


@pytest.mark.parametrize(
    ("typed", "status"), [(EMAIL, 0), (EMAIL.upper(), 0), ("yes", 1), ("", 1), ("other@example.com", 1)]
)
def test_erasure_on_a_terminal_asks_for_the_address(database, person, monkeypatch, typed, status):
    monkeypatch.setattr(sys, "stdin", Terminal(f"{typed}\n" if typed else ""))
    assert main(["erase", EMAIL]) == status
    assert database.count(users) == status


def test_erasure_that_is_interrupted_at_the_question_deletes_nothing(database, person, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(terminal, "readline", interrupt)
    assert main(["erase", EMAIL]) == 1
    assert database.count(users) == 1


def interrupt():
    raise KeyboardInterrupt


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


def test_erasure_while_another_process_reads_says_what_is_left(database, person, monkeypatch, capsys):
    """The user is gone, and the write-ahead log keeps old pages until the reader has finished."""
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.1")
    start_fresh_environment()
    with create_engine(database.url, poolclass=NullPool).connect() as reader:
        reader.exec_driver_sql("BEGIN")
        assert len(reader.execute(select(users)).all()) == 1
        assert main(["erase", EMAIL, "--yes"]) == 0
        assert "write-ahead log" in capsys.readouterr().err
    assert database.count(users) == 0


# --- Terminals and pipes ----------------------------------------------------------------------------------------------


def test_answer_as_json_has_the_same_facts(person, capsys):
    capsys.readouterr()
    assert main(["role", EMAIL, "admin", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"user_id": person.id, "role": "admin", "status": "active", "sessions_ended": True}
    main(["unlock", EMAIL, "--json"])
    assert json.loads(capsys.readouterr().out)["counters_forgotten"] == 0
    main(["erase", EMAIL, "--yes", "--json"])
    assert json.loads(capsys.readouterr().out) == {"user_id": person.id, "erased": True}


def test_log_lines_stay_off_a_terminal_unless_asked_for(person, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    capsys.readouterr()
    main(["disable", EMAIL])
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    main(["enable", EMAIL, "--json"])
    assert event_in(capsys.readouterr().err)["name"] == "user_enabled"


def test_warning_on_a_terminal_is_in_words(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with operation("accounts"):
        logger.info("a detail")
        logger.warning("something \x1b[2J odd")
    assert capsys.readouterr().err == "warning: something \\x1b[2J odd\n"


@pytest.mark.parametrize("command", [["disable", EMAIL], ["erase", EMAIL, "--yes"]], ids=lambda command: command[0])
def test_answer_into_a_closed_pipe_ends_quietly(database, person, command):
    """As in `accounts disable person@example.com | true`: the work is done."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [Path(sys.executable).with_name("accounts"), *command],
        cwd=PROJECT,
        env=os.environ,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert log_in().status == 401

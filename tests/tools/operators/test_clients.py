"""``uv run clients``: register, list, rotate and remove clients. A secret is printed once."""

import getpass
import json

import pytest
from sqlalchemy import select

from auth_common.database.tables import audit_events
from tests.support import leaks
from tests.support.clients import NAME, RESOURCE, basic, ec_key, public_pem, request_token, rsa_key
from tests.support.databases import start_fresh_environment
from tests.support.runtime import run_project_command
from tools.operators.clients import main

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]

ADD = ["add", NAME, "--resource", RESOURCE, "--scope", "orders.read", "--scope", "orders.write"]
LINE = f"{NAME}: client_secret; resources {RESOURCE}; scopes orders.read orders.write"


def run(capsys, *arguments):
    """Run the command and return its output."""
    assert main(arguments) == 0
    return capsys.readouterr().out


def secret_in(output):
    (secret,) = [line.removeprefix("client_secret: ") for line in output.splitlines() if "client_secret: cs_" in line]
    return secret


def last_line(output):
    """Return the last line, after the log lines of requests."""
    return output.splitlines()[-1]


def is_accepted(secret):
    return request_token(authorization=basic(NAME, secret)).status == 200


def test_secret_is_printed_once_and_works(database, capsys):
    output = run(capsys, *ADD)
    assert output.splitlines()[0] == LINE
    assert is_accepted(secret_in(output))
    assert last_line(run(capsys, "list")) == LINE
    assert "cs_" not in run(capsys, "list", "--json")


def test_rotation_keeps_the_old_secret_until_it_is_finished(database, capsys):
    old = secret_in(run(capsys, *ADD))
    rotated = run(capsys, "rotate", NAME)
    assert "two credentials are valid" in rotated
    new = secret_in(rotated)
    assert is_accepted(old)
    assert is_accepted(new)
    assert last_line(run(capsys, "rotate", NAME, "--finish")) == LINE
    assert not is_accepted(old)
    newest = secret_in(run(capsys, "rotate", NAME, "--now"))
    assert [is_accepted(secret) for secret in (new, newest)] == [False, True]


def test_removed_client_is_not_accepted(database, capsys):
    secret = secret_in(run(capsys, *ADD))
    assert run(capsys, "remove", NAME) == f"{NAME}: removed\n"
    assert not is_accepted(secret)
    assert last_line(run(capsys, "list")) == "there is no client"


def test_public_key_is_read_from_a_file_and_no_secret_is_printed(database, capsys, tmp_path):
    (tmp_path / "ec.pem").write_text(public_pem(ec_key()))
    (tmp_path / "rsa.pem").write_text(public_pem(rsa_key()))
    options = ["--resource", RESOURCE, "--public-key", str(tmp_path / "ec.pem")]
    assert run(capsys, "add", NAME, *options) == f"{NAME}: ES256; resources {RESOURCE}\n"
    options = ["--public-key", str(tmp_path / "rsa.pem"), "--algorithm", "RS256"]
    assert run(capsys, "rotate", NAME, *options, "--now") == f"{NAME}: RS256; resources {RESOURCE}\n"


def test_resource_server_has_an_audience_and_may_introspect(database, capsys):
    output = run(capsys, "add", "orders", "--audience", RESOURCE, "--introspect", "--json")
    added = json.loads(output)
    leaks.remember(added["client_secret"])
    assert (added["client_id"], added["audience"], added["may_introspect"]) == ("orders", RESOURCE, True)
    assert f"orders: client_secret; audience {RESOURCE}; may introspect" in run(capsys, "list")
    assert json.loads(run(capsys, "remove", "orders", "--json")) == {"client_id": "orders", "removed": True}
    assert json.loads(run(capsys, "list", "--json")) == {"clients": []}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\x30\x82\x01\xff", "in ASCII"), ("\ufeff".encode() + public_pem(ec_key()).encode(), "in ASCII")],
    ids=["DER", "byte order mark"],
)
def test_file_that_is_no_text_is_rejected_with_the_expected_form(database, capsys, tmp_path, content, reason):
    (tmp_path / "key").write_bytes(content)
    assert main(["add", NAME, "--public-key", str(tmp_path / "key")]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["remove", "unknown"], "no client has the name 'unknown'"),
        (["rotate", "unknown"], "no client has the name 'unknown'"),
        (["add", "A b"], "the name must have"),
        (["add", NAME, "--introspect"], "needs an audience"),
        (["add", NAME, "--resource", "orders.example.com"], "an absolute URI"),
        (["add", NAME, "--algorithm", "ES256"], "--algorithm needs --public-key"),
        (["add", NAME, "--public-key", "/nonexistent.pem"], "No such file"),
        (["add", NAME, "--public-key", "README.md"], "clients: "),
    ],
)
def test_failed_command_says_why(database, capsys, arguments, reason):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.out == ""


def test_missing_data_folder_is_named(environment, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", "/nonexistent")
    start_fresh_environment()
    assert main(["list"]) == 1
    assert "/nonexistent" in capsys.readouterr().err


@pytest.mark.asvs("16.3.3")
def test_changes_are_recorded_with_the_operator_and_without_the_secret(database, capsys):
    secret = secret_in(run(capsys, *ADD))
    run(capsys, "remove", NAME)
    rows = database.execute(select(audit_events.c.name, audit_events.c.record))
    recorded = {row.name: row.record for row in rows}
    for name in ("client_created", "client_deleted"):
        assert f'"operator":"{getpass.getuser()}"' in recorded[name].replace(" ", "")
    assert not [record for record in recorded.values() if secret in record]


def test_command_is_installed(database):
    done = run_project_command("clients list")
    assert (done.returncode, done.stdout) == (0, "there is no client\n")

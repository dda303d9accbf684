"""`uv run mail`: the mails of the local mailbox and of make sam, and the check of a deployer's texts."""

import getpass
import io
import json
import subprocess
import tarfile
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from auth_common.database.tables import audit_events
from auth_common.mail.pause_store import begin_pause, select_pause
from auth_common.transactions import read, transaction
from tests.support.databases import start_fresh_environment
from tests.support.mail_servers import a_message
from tools.operators.mail import main

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("environment")]


@pytest.fixture
def mailbox(environment):
    folder = environment / "mail"
    folder.mkdir()
    for number in range(1, 23):
        (folder / f"{number:02}.eml").write_bytes(a_message(f"user{number}@example.com").as_bytes())
    return folder


@pytest.mark.usefixtures("mailbox")
def test_newest_mails_are_listed_and_shown_by_number(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert lines[0].split()[0] == "1"
    assert "user22@example.com  Hello" in lines[0]
    assert main(["show"]) == 0
    assert "To: user22@example.com\n" in (shown := capsys.readouterr().out)
    assert shown.endswith("Grüße\n.\nend\n\n")
    assert main(["show", "3"]) == 0
    assert "To: user20@example.com\n" in capsys.readouterr().out
    assert main(["show", "21"]) == 1
    assert capsys.readouterr().err == "mail: there is no mail 21\n"


def test_empty_mailbox_and_mail_without_text_are_no_errors(environment, capsys):
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "there is no mail\n"
    (environment / "mail").mkdir()
    (environment / "mail" / "1.eml").write_bytes(b"To: ada@example.com\r\nContent-Type: image/png\r\n\r\n")
    assert main(["show"]) == 0
    assert "To: ada@example.com" in capsys.readouterr().out


def test_missing_data_folder_is_named(monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", "/nonexistent")
    start_fresh_environment()
    assert main([]) == 1
    assert "/nonexistent" in capsys.readouterr().err


def test_texts_of_a_deployer_are_checked(monkeypatch, tmp_path, capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "all texts are valid\n"
    (tmp_path / "frame.html").write_text("nothing")
    monkeypatch.setenv("MAIL_TEXTS_DIR", str(tmp_path))
    start_fresh_environment()
    assert main(["check"]) == 1
    assert "frame.html must contain $content" in capsys.readouterr().err


def docker(monkeypatch, **outcome):
    """Stand in for Docker. tests/sam has the real one."""

    def run(command, **_):
        assert "secure-backend-test:/data:ro" in command
        if "error" in outcome:
            raise outcome["error"]
        return subprocess.CompletedProcess(command, 0, outcome["output"], b"")

    monkeypatch.setenv("SAM_LOCAL_VOLUME", "secure-backend-test")
    monkeypatch.setattr(subprocess, "run", run)


def test_mails_of_sam_are_read_from_its_volume(mailbox, monkeypatch, capsys):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in mailbox.iterdir():
            tar.add(file, arcname=file.name)
        tar.addfile(_folder())
    docker(monkeypatch, output=archive.getvalue())
    assert main(["--sam", "show", "2"]) == 0
    assert "To: user21@example.com\n" in capsys.readouterr().out


def _folder():
    member = tarfile.TarInfo("99.eml")
    member.type = tarfile.DIRTYPE
    return member


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(), "Docker is not installed"),
        (subprocess.CalledProcessError(1, "docker", stderr=b"cd: /data/mail: not there"), "make sam has not run yet"),
    ],
)
def test_missing_docker_or_volume_is_named(monkeypatch, capsys, error, message):
    docker(monkeypatch, error=error)
    assert main(["--sam"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.sqlite
def test_operator_ends_a_pause_with_an_event(database, log_lines, capsys):
    assert main(["resume"]) == 0
    assert capsys.readouterr().out == "mail was not paused\n"
    transaction(lambda connection: begin_pause(connection, now=datetime.now(UTC)))
    assert main(["resume"]) == 0
    assert capsys.readouterr().out == "mail is sent again\n"
    ((record,),) = database.execute(select(audit_events.c.record).where(audit_events.c.name == "mail_resumed"))
    assert json.loads(record)["detail"]["operator"] == getpass.getuser()
    pause = read(select_pause)
    assert pause is not None
    assert pause.resumed_at is not None

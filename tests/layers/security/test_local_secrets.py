"""Secrets in files: made once, whoever starts at the same time, and readable by their owner alone."""

import os
import stat
import subprocess
import sys
import time

import pytest

from auth_common.errors import Misconfigured, ServiceUnavailable
from auth_common.security.local_secrets import read_or_create

pytestmark = pytest.mark.keys

#: Waits for a starting shot (a file) and then makes the secret, in a process of its own.
STARTER = """
import secrets, sys, time
from pathlib import Path
from auth_common.security.local_secrets import read_or_create
folder = Path(sys.argv[1])
(folder / f"ready-{sys.argv[2]}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
print(read_or_create(folder / "new" / "secret", lambda: secrets.token_bytes(32)).hex())
"""


def test_makes_the_file_once(tmp_path):
    path = tmp_path / "secret"
    assert read_or_create(path, lambda: b"first") == b"first"
    assert read_or_create(path, lambda: b"second") == b"first"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        read_or_create(tmp_path / "keys" / "secret", lambda: b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_processes_that_start_together_end_up_with_one_secret(tmp_path):
    starters = [
        subprocess.Popen([sys.executable, "-c", STARTER, tmp_path, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(starters):
        assert all(starter.poll() is None for starter in starters)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    contents = {starter.communicate(timeout=60)[0] for starter in starters}
    assert all(starter.returncode == 0 for starter in starters)
    assert contents == {f"{(tmp_path / 'new' / 'secret').read_bytes().hex()}\n"}


def test_nothing_else_is_left(tmp_path):
    read_or_create(tmp_path / "secret", lambda: b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_failure_leaves_no_partial_file(tmp_path):
    def fail() -> bytes:
        raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        read_or_create(tmp_path / "secret", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_faster_starters_content_counts(tmp_path):
    path = tmp_path / "secret"

    def make_while_another_is_faster() -> bytes:
        path.write_bytes(b"theirs")
        return b"ours"

    assert read_or_create(path, make_while_another_is_faster) == b"theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o777, 0o610])
def test_file_that_others_may_use_becomes_its_owners_alone_and_is_reported(tmp_path, caplog, mode):
    """A restored backup has the permissions of the one who restored it."""
    path = tmp_path / "secret"
    path.write_bytes(b"content")
    path.chmod(mode)
    assert read_or_create(path, lambda: b"other") == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "content" not in record.getMessage()


def test_file_of_its_owner_alone_is_not_reported(tmp_path, caplog):
    read_or_create(tmp_path / "secret", lambda: b"content")
    assert caplog.records == []


def test_secret_that_is_no_file_is_misconfigured(tmp_path):
    (tmp_path / "secret").mkdir(mode=0o700)
    with pytest.raises(Misconfigured, match="secret"):
        read_or_create(tmp_path / "secret", lambda: b"content")


def test_secret_that_is_a_link_to_nothing_is_misconfigured(tmp_path):
    path = tmp_path / "pepper"
    path.symlink_to(tmp_path / "unmounted" / "pepper")
    with pytest.raises(Misconfigured, match="pepper"):
        read_or_create(path, lambda: b"new")


def test_secret_in_a_folder_that_is_a_file_is_unavailable(tmp_path):
    (tmp_path / "keys").touch()
    with pytest.raises((Misconfigured, ServiceUnavailable)):
        read_or_create(tmp_path / "keys" / "secret", lambda: b"content")

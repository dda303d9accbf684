"""Secrets in files: created once, also by concurrent processes, and readable only by the service's user."""

import os
import stat

import pytest

from auth_common.errors import Misconfigured, ServiceUnavailable
from auth_common.keys.local_secrets import read_or_create
from tests.support.processes import run_concurrently

pytestmark = pytest.mark.keys

STARTER = """
import secrets
from auth_common.keys.local_secrets import read_or_create
wait()
print(read_or_create(folder / "new" / "secret", lambda: secrets.token_bytes(32)).hex())
"""


def test_secret_is_created_once_without_leftover_files(tmp_path, caplog):
    path = tmp_path / "secret"
    assert read_or_create(path, lambda: b"first") == b"first"
    assert read_or_create(path, lambda: b"second") == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    assert caplog.records == []


def test_processes_that_start_together_get_the_same_secret(tmp_path):
    printed = run_concurrently(STARTER, number=8, folder=tmp_path)
    assert set(printed) == {(tmp_path / "new" / "secret").read_bytes().hex()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_secret_file_has_mode_0600_under_any_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        read_or_create(tmp_path / "keys" / "secret", lambda: b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_failed_creation_of_a_secret_leaves_no_file(tmp_path):
    def fail() -> bytes:
        raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        read_or_create(tmp_path / "secret", fail)
    assert list(tmp_path.iterdir()) == []


def test_secret_of_a_faster_process_is_returned(tmp_path):
    path = tmp_path / "secret"

    def make_while_another_is_faster() -> bytes:
        path.write_bytes(b"theirs")
        return b"ours"

    assert read_or_create(path, make_while_another_is_faster) == b"theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o777, 0o610])
def test_permissions_of_other_users_are_removed_and_reported(tmp_path, caplog, mode):
    """A restored backup has the permissions that the operator's umask allows."""
    path = tmp_path / "secret"
    path.write_bytes(b"content")
    path.chmod(mode)
    assert read_or_create(path, lambda: b"other") == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "content" not in record.getMessage()


def test_secret_that_is_not_a_file_is_misconfigured_and_named(tmp_path):
    (tmp_path / "secret").mkdir(mode=0o700)
    (tmp_path / "pepper").symlink_to(tmp_path / "unmounted" / "pepper")
    for name in ("secret", "pepper"):
        with pytest.raises(Misconfigured, match=name):
            read_or_create(tmp_path / name, lambda: b"content")


def test_secret_in_a_folder_that_is_a_file_is_unavailable(tmp_path):
    (tmp_path / "keys").touch()
    with pytest.raises((Misconfigured, ServiceUnavailable)):
        read_or_create(tmp_path / "keys" / "secret", lambda: b"content")

"""Starting ``make run`` where a folder, a name or the environment is unusual."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.local_runtime.conftest import PROBE_PROJECT
from tests.support.requirements import require
from tests.support.runtime import PROJECT, running_runtime

pytestmark = pytest.mark.local_runtime


def start(data_dir):
    """Start the runtime, which must end by itself; return its exit status and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PORT": "0", "DATA_DIR": str(data_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "local_runtime"],
        cwd=PROBE_PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["file", "file/below", "read-only", "read-only/below", "n" * 300])
def test_data_dir_that_cannot_be_written_is_an_error_at_start(tmp_path, name):
    (tmp_path / "file").touch()
    # No user may write there, root included: it stands in for a file system that is mounted read-only.
    (tmp_path / "read-only").symlink_to("/proc/self/fdinfo")
    require(condition=Path("/proc/self/fdinfo").is_dir(), reason="needs /proc")
    status, printed = start(tmp_path / name)
    assert status == 1
    assert "DATA_DIR" in printed
    assert str(tmp_path / name) in printed
    assert "Traceback" not in printed


def test_data_dir_whose_name_is_not_utf8_is_an_error_at_start(tmp_path):
    status, printed = start(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert (status, "DATA_DIR" in printed, "Traceback" in printed) == (1, True, False)


def test_data_dir_is_made_for_its_owner_alone(tmp_path):
    with running_runtime(tmp_path, project=PROBE_PROJECT, env={"DATA_DIR": str(tmp_path / "new" / "er")}):
        assert stat.S_IMODE((tmp_path / "new" / "er").stat().st_mode) == 0o700


def test_long_temporary_folder_does_not_matter(tmp_path):
    """A Unix domain socket's path has at most 107 bytes."""
    folder = tmp_path / ("t" * 100)
    folder.mkdir()
    with running_runtime(tmp_path, project=PROBE_PROJECT, env={"TMPDIR": str(folder)}) as runtime:
        assert httpx.get(f"{runtime.url}/echo/a/b", timeout=60).status_code == 200


@pytest.mark.parametrize("name", ["q?1", "100% done#2"])
def test_data_dir_with_characters_of_urls_holds_the_database(tmp_path, name):
    with running_runtime(tmp_path / name) as runtime:
        assert httpx.get(f"{runtime.url}/health", timeout=60).status_code == 200
    assert (tmp_path / name / "secure-backend.sqlite3").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.asvs("13.3.2")
def test_secrets_of_the_shell_are_not_in_any_workers_environment(tmp_path):
    require(condition=Path("/proc/self/environ").exists(), reason="needs /proc")
    secret = "a-secret-of-the-shell"
    with running_runtime(tmp_path, project=PROBE_PROJECT, env={"AWS_SECRET_ACCESS_KEY": secret}) as runtime:
        seen = httpx.get(f"{runtime.url}/echo/a/b", timeout=60).json()
        for process in (seen["pid"], seen["parent"]):
            assert secret.encode() not in Path(f"/proc/{process}/environ").read_bytes()

"""The start of the runtime with unusual folders, files and environments."""

import os
import stat
from pathlib import Path

import httpx
import pytest

from tests.local_runtime.conftest import PROBE_PROJECT, SECRET_OF_THE_SHELL
from tests.support.requirements import require
from tests.support.runtime import failed_start, running_runtime

pytestmark = [pytest.mark.local_runtime, pytest.mark.xdist_group("local-service")]


def test_data_dir_that_cannot_be_written_is_an_error_at_start(tmp_path):
    require(condition=Path("/proc/self/fdinfo").is_dir(), reason="needs /proc")
    (tmp_path / "file").touch()
    # No user can write there, also not root, as on a read-only file system.
    (tmp_path / "read-only").symlink_to("/proc/self/fdinfo")
    for name in ("file/below", "read-only"):
        status, printed = failed_start(PROBE_PROJECT, env={"DATA_DIR": str(tmp_path / name)})
        assert (status, "DATA_DIR" in printed, "Traceback" in printed) == (1, True, False)
        assert str(tmp_path / name) in printed


def test_data_dir_whose_name_is_not_utf8_is_an_error_at_start(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    status, printed = failed_start(PROBE_PROJECT, env={"DATA_DIR": folder})
    assert (status, "DATA_DIR" in printed, "Traceback" in printed) == (1, True, False)


def test_project_without_settings_is_served(tmp_path):
    """``pyproject.toml`` names the settings. Without it no variable gets the origin of the page."""
    for name in ("template.yaml", "functions"):
        (tmp_path / name).symlink_to(PROBE_PROJECT / name)
    with running_runtime(tmp_path / "data", project=tmp_path) as runtime:
        assert httpx.get(f"{runtime.url}/nothing", timeout=60).json() == {"message": "Missing Authentication Token"}


def test_new_data_dir_is_private(runtime, probe_data):
    assert stat.S_IMODE(probe_data.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["pepper", "audit-key"])
def test_secret_file_that_is_too_short_is_an_error_at_start(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    status, printed = failed_start(env={"DATA_DIR": str(tmp_path)})
    assert (status, str(tmp_path / name) in printed, "Traceback" in printed) == (1, True, False)


def test_secret_file_with_other_permissions_is_private_after_the_start(tmp_path):
    for name in ("pepper", "audit-key"):
        (tmp_path / name).write_bytes(bytes(32))
        (tmp_path / name).chmod(0o644)
    with running_runtime(tmp_path, env={"DATA_DIR": str(tmp_path)}) as runtime:
        modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("pepper", "audit-key")}
        assert (modes, "had mode 0644" in runtime.log) == ({0o600}, True)


def test_data_dir_with_special_characters_contains_the_database(client, service):
    assert client.get("/health").status_code == 200
    folder = service.log_file.parent
    assert (folder / "secure-backend.sqlite3").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.asvs("13.3.2")
def test_issuer_is_the_url_of_the_runtime(client, service):
    """Otherwise a library that reads the metadata from another port would reject it."""
    assert client.get("/.well-known/openid-configuration").json()["issuer"] == service.url


def test_workers_environment_has_no_secrets_of_the_shell(probe):
    require(condition=Path("/proc/self/environ").exists(), reason="needs /proc")
    seen = probe.get("/echo/a/b").json()
    assert SECRET_OF_THE_SHELL not in seen["environment"].values()
    for process in (seen["pid"], seen["parent"]):
        assert SECRET_OF_THE_SHELL.encode() not in Path(f"/proc/{process}/environ").read_bytes()

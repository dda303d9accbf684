"""The path of uv: the running uv, the uv on PATH, or the private copy."""

import pytest

from tools.uv_path import uv_path

pytestmark = pytest.mark.project


def make_executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def machine_without_uv(monkeypatch, tmp_path):
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_uv_path_prefers_the_uv_that_runs_then_path_then_the_private_copy(monkeypatch, tmp_path):
    private_copy = make_executable(tmp_path / ".tools" / "bin" / "uv")
    assert uv_path(tmp_path) == private_copy
    on_path = make_executable(tmp_path / "bin" / "uv")
    assert uv_path(tmp_path) == on_path
    monkeypatch.setenv("UV", "/elsewhere/uv")
    assert uv_path(tmp_path) == "/elsewhere/uv"


def test_uv_path_without_uv_names_the_command_that_installs_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make \.tools/bin/uv"):
        uv_path(tmp_path)

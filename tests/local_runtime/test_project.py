import tomllib
from pathlib import Path

import pytest

from local_runtime.project import Project
from tests.support.runtime import PROJECT, failed_start

pytestmark = pytest.mark.local_runtime


def load(folder, text):
    (folder / "pyproject.toml").write_text(text)
    return Project.load(folder)


def test_project_without_settings_has_the_defaults(tmp_path):
    assert Project.load(tmp_path) == load(tmp_path, "[project]\n") == load(tmp_path, "[tool]\nx = 1\n") == Project()


def test_project_has_the_settings_of_its_pyproject_toml(tmp_path):
    project = load(tmp_path, '[tool.local_runtime]\ncommand = "just serve"\npreload = ["json", "csv"]\n')
    assert project == Project(command="just serve", preload=("json", "csv"))


def test_settings_of_this_project_are_loaded():
    written = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["local_runtime"]
    project = Project.load(PROJECT)
    assert (project.command, list(project.preload)) == ("make run", written["preload"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool", "pyproject.toml is not TOML"),
        ("[tool.local_runtime]\ncolour = 1\n", "tool.local_runtime has no setting colour"),
        ("[tool.local_runtime]\nopenapi = 1\n", "tool.local_runtime.openapi must be a string"),
        ('[tool.local_runtime]\npreload = "json"\n', "tool.local_runtime.preload must be a list of strings"),
        ("[tool.local_runtime]\npreload = [1]\n", "tool.local_runtime.preload must be a list of strings"),
    ],
)
def test_setting_that_is_unknown_or_of_another_type_is_an_error(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        load(tmp_path, text)


def test_invalid_settings_are_an_error_at_start(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool")
    status, printed = failed_start(tmp_path, env={"DATA_DIR": str(tmp_path / "data")})
    assert (status, "pyproject.toml is not TOML" in printed, "Traceback" in printed) == (1, True, False)


def test_function_that_checks_the_data_gets_the_folder(tmp_path):
    Project().require_valid_data(tmp_path)
    Project(check_data="pathlib:Path.iterdir").require_valid_data(tmp_path)
    with pytest.raises(ValueError, match="No such file or directory"):
        Project(check_data="pathlib:Path.stat").require_valid_data(Path(tmp_path, "missing"))


def test_function_for_after_requests_must_be_in_the_template():
    Project(after_requests=("Sender",)).require_functions(["Sender", "Login"])
    with pytest.raises(ValueError, match="the template has no Sender"):
        Project(after_requests=("Sender",)).require_functions(["Login"])

"""``make release``: it prepares a release in a copy of the project, or says why the tree does not allow one."""

import json
import re
import shutil
from datetime import date

import pytest

from tests.support.requirements import require
from tests.support.runtime import PROJECT, run_command
from tools.release.command import NotReleasable, check_version, main, with_release
from tools.release.version import read_version

pytestmark = pytest.mark.project


@pytest.fixture
def copy(tmp_path):
    """A copy of the project as one commit on the branch ``main``."""
    listed = run_command("git", "ls-files", "-z")
    require(condition=listed.returncode == 0, reason="needs a git checkout")
    folder = tmp_path / "copy"
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "copy")
    return folder


def git(folder, *arguments):
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = run_command("git", *identity, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.thorough
def test_release_sets_the_version_dates_the_changelog_and_writes_the_sbom(copy, capsys):
    assert main(["7.8.9"], project=copy) == 0
    printed = capsys.readouterr().out
    assert "git push origin main v7.8.9" in printed
    changed = git(copy, "status", "--porcelain").split()[1::2]
    assert set(changed) == {"CHANGELOG.md", "docs/openapi.json", "layers/common/pyproject.toml", "uv.lock"}
    headings = re.findall(r"^## .*$", (copy / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "## Unreleased"
    assert re.fullmatch(r"## 7\.8\.9 - \d{4}-\d\d-\d\d", headings[1])
    assert json.loads((copy / "docs" / "openapi.json").read_text())["info"]["version"] == "7.8.9"
    assert json.loads((copy / "sbom.json").read_text())["metadata"]["component"]["version"] == "7.8.9"
    # The printed commands leave a clean tree, from which the same version cannot be released again.
    for arguments in re.findall(r"^  git (?:commit|tag) .*$", printed, re.MULTILINE):
        git(copy, *re.findall(r'"[^"]*"|\S+', arguments.strip())[1:])
    assert git(copy, "status", "--porcelain") == ""
    assert main(["7.8.9"], project=copy) == 1
    assert "not higher" in capsys.readouterr().err


@pytest.mark.thorough
def test_tree_that_is_not_ready_is_rejected_unchanged(copy, capsys):
    def reason(version):
        assert main([version], project=copy) == 1
        return capsys.readouterr().err

    (copy / "README.md").write_text("changed")
    assert "README.md" in reason("7.8.9")
    git(copy, "checkout", "--quiet", "README.md")
    git(copy, "tag", "v7.8.9")
    assert "tag" in reason("7.8.9")
    git(copy, "checkout", "--quiet", "-b", "feature")
    assert "check out main" in reason("7.9.0")
    assert git(copy, "status", "--porcelain") == ""


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", "01.2.3", "1.2.3", "1.2.2", "0.9.9"])
def test_version_that_does_not_follow_is_rejected(version):
    with pytest.raises(NotReleasable):
        check_version(version, current="1.2.3")


@pytest.mark.parametrize("version", ["1.2.4", "1.3.0", "1.10.0", "2.0.0"])
def test_version_that_follows_is_accepted(version):
    check_version(version, current="1.2.3")


def test_changelog_without_unreleased_changes_is_rejected():
    for text in ("# Changelog\n", "# Changelog\n\n## Unreleased\n\n## 1.0.0 - 2026-01-01\n\nFirst.\n"):
        with pytest.raises(NotReleasable):
            with_release(text, "1.1.0", date(2026, 2, 1))


def test_changelog_of_the_project_can_be_released():
    text = (PROJECT / "CHANGELOG.md").read_text()
    assert "## 99.0.0 - 2026-02-01\n" in with_release(text, "99.0.0", date(2026, 2, 1))


def test_openapi_document_has_the_version_of_the_service():
    document = json.loads((PROJECT / "docs" / "openapi.json").read_text())
    assert document["info"]["version"] == read_version()

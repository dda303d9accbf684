"""Prepare a release: check the tree, set the version, date the CHANGELOG section and write the SBOM.

The version is in layers/common/pyproject.toml. The command pushes nothing: it prints the commands that do.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from tools.release.version import read_version
from tools.uv_path import uv_path

_PROJECT: Final = Path(__file__).parents[2]
_LAYER: Final = "auth-common"
_BRANCH: Final = "main"
_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_UNRELEASED: Final = re.compile(r"^## Unreleased\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class NotReleasable(Exception):
    """The tree or the version does not allow a release. The text says what to do."""


def main(arguments: Sequence[str] | None = None, *, project: Path = _PROJECT) -> int:
    """Prepare a release of the project. Return the exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("version", help="such as 1.2.3")
    version = parser.parse_args(arguments).version
    changelog = project / "CHANGELOG.md"
    try:
        check_version(version, current=read_version(project))
        check_tree(project, version)
        text = with_release(changelog.read_text(encoding="utf-8"), version, datetime.now(UTC).date())
        _run(project, uv_path(), "version", "--quiet", "--package", _LAYER, "--no-sync", version)
        changelog.write_text(text, encoding="utf-8")
        _run(project, sys.executable, "-m", "tools.docs.generated_files", "docs/openapi.json")
        _run(project, "make", "--silent", "sbom")
    except (NotReleasable, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    sys.stdout.write(next_steps(version))
    return 0


def check_version(version: str, *, current: str) -> None:
    """Check that a version is a valid successor of the current one (Semantic Versioning, without pre-releases).

    Raises:
        NotReleasable: It is not.

    """
    if not _VERSION.fullmatch(version):
        message = f"{version} is not a version such as 1.2.3"
        raise NotReleasable(message)
    if _numbers(version) <= _numbers(current):
        message = f"{version} is not higher than the current version {current}"
        raise NotReleasable(message)


def check_tree(project: Path, version: str) -> None:
    """Check that the main branch is checked out without uncommitted changes, and that the tag does not exist.

    Raises:
        NotReleasable: One of these is not true.

    """
    if changes := _run(project, "git", "status", "--porcelain"):
        message = f"commit or remove these changes first:\n{changes}"
        raise NotReleasable(message)
    branch = _run(project, "git", "branch", "--show-current").strip()
    if branch != _BRANCH:
        message = f"check out {_BRANCH}: a release is not made from {branch or 'a detached commit'}"
        raise NotReleasable(message)
    if _run(project, "git", "tag", "--list", f"v{version}"):
        message = f"the tag v{version} exists already"
        raise NotReleasable(message)


def with_release(changelog: str, version: str, day: date) -> str:
    """Return the CHANGELOG with a new, empty section "Unreleased" above the one of this release.

    Raises:
        NotReleasable: The section "Unreleased" is missing or empty.

    """
    section = _UNRELEASED.search(changelog)
    if section is None or not section["text"].strip():
        raise NotReleasable('CHANGELOG.md has no text under "## Unreleased"')
    heading = f"## Unreleased\n\n## {version} - {day.isoformat()}\n"
    return changelog[: section.start()] + heading + changelog[section.start("text") :]


def next_steps(version: str) -> str:
    """Return the commands that publish the release."""
    return f"""\
Version {version} is prepared: CHANGELOG.md, layers/common/pyproject.toml, uv.lock, docs/openapi.json and sbom.json.
Review the changes with `git diff`, run the gate with `.ci/run`, and publish:

  git commit --all --message "release: {version}"
  git tag --annotate v{version} --message "{version}"
  git push origin {_BRANCH} v{version}

Attach sbom.json to the release of the tag v{version}.
"""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _run(project: Path, *command: str) -> str:
    """Run a command in the project, and return its output. Its errors go to stderr."""
    done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())

"""Dependencies and their hashes, the bill of materials, and secrets in git."""

import json
import os
import re
import shutil
import stat
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from detect_secrets.core.plugins.initialize import from_plugin_classname

from auth_common.transactions import read
from tests.support.factories import sign_up
from tests.support.requirements import require
from tests.support.runtime import PROJECT, run_command
from tools.operators.keys import main as keys
from tools.uv_path import uv_path

pytestmark = pytest.mark.project

PYPI = "https://pypi.org/simple"
BASELINE = PROJECT / ".secrets.baseline"


def finds_secrets(tmp_path, *files):
    """Return the output of the pre-commit hook for secrets, or "" if it finds none."""
    searched = [file for file in files if may_contain_secret(PROJECT / file)]
    # The hook updates line numbers in its baseline and then exits with status 3, so it gets a copy.
    baseline = shutil.copy(BASELINE, tmp_path / "baseline.json")
    found = run_command(Path(sys.executable).with_name("detect-secrets-hook"), "--baseline", baseline, *searched)
    assert found.returncode in {0, 1, 3}, found.stderr
    return found.stdout if found.returncode == 1 else ""


@cache
def detectors():
    """Return the detectors of the hook."""
    return [from_plugin_classname(each["name"]) for each in json.loads(BASELINE.read_text())["plugins_used"]]


def may_contain_secret(file):
    """Return whether the hook must search a file. The hook searches line by line, which takes three times as long.

    The hook also searches the values in a YAML file, which can continue on the next line.
    """
    text = file.read_text(errors="replace")
    return file.suffix in {".yaml", ".yml"} or any(any(detector.analyze_string(text)) for detector in detectors())


def versioned_files():
    listed = run_command("git", "ls-files", "-z")
    require(condition=listed.returncode == 0, reason="needs a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (PROJECT / name).is_file()]


@pytest.mark.asvs("13.2.3")
@pytest.mark.threat("supply-secret-in-git")
@pytest.mark.thorough  # Searches every file.
@pytest.mark.unmeasured
def test_no_secret_is_in_git(tmp_path):
    """The exceptions are examples and test data, which .secrets.baseline lists after a review of each."""
    assert finds_secrets(tmp_path, *(name for name in versioned_files() if name != BASELINE.name)) == ""


#: The content of a file with each kind of secret.
SECRETS = {
    "private-key": f"-----BEGIN {'EC'} PRIVATE KEY-----\nMHcCAQEEI\n",
    "jwt": f"token = '{'eyJhbGciOiJIUzI1NiJ9'}.{'eyJzdWIiOiIxMjM0NTY3ODkwIn0'}.{'dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P'}'",
    "password-in-url": f"url = 'postgresql://service:{'correcthorse'}@db.example/auth'\n",
    "aws-key": f"key = '{'AKIA'}{'IOSFODNN7ABCDEFG'}'\n",
}


def test_scanner_finds_each_kind_of_secret(tmp_path):
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    found = finds_secrets(tmp_path, *(tmp_path / name for name in SECRETS))
    assert [name for name in SECRETS if name not in found] == []


@pytest.mark.asvs("15.1.2")
@pytest.mark.threat("supply-unknown-contents")
def test_bill_of_materials_lists_the_layers_packages(tmp_path):
    """CycloneDX, from the lock (`make sbom`)."""
    sbom = tmp_path / "sbom.json"
    made = run_command("make", "--silent", "sbom", f"SBOM={sbom}")
    assert made.returncode == 0, made.stderr
    document = json.loads(sbom.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    named = {(component["name"], component["version"], component["purl"]) for component in document["components"]}
    requirements = (PROJECT / "layers/common/requirements.txt").read_text()
    pinned = re.findall(r"^([\w.-]+)==([^ ;\\]+)", requirements, re.MULTILINE)
    assert named == {(name, version, f"pkg:pypi/{name}@{version}") for name, version in pinned}


@pytest.mark.asvs("15.1.2", "15.2.4")
@pytest.mark.threat("supply-replaced-dependency")
def test_locked_packages_come_from_pypi_with_hashes():
    """No second index can offer a package under the name of a private one (dependency confusion, ASVS 15.2.4)."""
    packages = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    own = [package["name"] for package in packages if "registry" not in package["source"]]
    assert own == ["auth-common", "secure-backend"]
    assert {package["source"].get("registry", PYPI) for package in packages} == {PYPI}
    files = [file for each in packages for file in (*each.get("wheels", []), each.get("sdist")) if file]
    assert files
    assert [file["url"] for file in files if not file["url"].startswith("https://files.pythonhosted.org/")] == []
    assert [file["url"] for file in files if not file["hash"].startswith("sha256:")] == []
    for name in ("pyproject.toml", "layers/common/pyproject.toml"):
        for requirement in tomllib.loads((PROJECT / name).read_text())["build-system"]["requires"]:
            assert re.fullmatch(r"[\w-]+==[\d.]+", requirement)


@pytest.mark.asvs("15.1.2", "15.2.4")
@pytest.mark.threat("supply-replaced-dependency")
@pytest.mark.thorough  # Sends requests to the package index.
@pytest.mark.parametrize("is_genuine", [True, False], ids=["genuine", "replaced"])
def test_private_uv_is_installed_only_with_its_hash(tmp_path, is_genuine):
    """A uv that an attacker replaced at the package index or in transit is not installed."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    requirement = (PROJECT / "tools" / "uv-requirements.txt").read_text()
    tampered = re.sub(r"sha256:.{8}", "sha256:00000000", requirement)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "uv-requirements.txt").write_text(requirement if is_genuine else tampered)
    done = run_command("make", ".tools/bin/uv", cwd=tmp_path, env=without_uv(tmp_path))
    assert (done.returncode == 0) == is_genuine, done.stderr
    assert (tmp_path / ".tools" / "bin" / "uv").exists() == is_genuine


def without_uv(folder):
    """Return the environment of a machine with only the programs that README requires."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("bash", "env", "make", "git", "python3", "touch", "uname"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return {name: value for name, value in os.environ.items() if name != "UV"} | {"PATH": str(programs)}


def test_make_uses_the_uv_of_a_folder_with_a_space(tmp_path):
    environment = without_uv(tmp_path)
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "uv").write_text('#!/bin/bash\necho "$@"\n')
    (folder / "uv").chmod(0o755)
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    for target in ("run", "test", "format"):
        done = run_command("make", target, env=environment)
        assert done.returncode == 0, done.stderr
        assert "run --locked" in done.stdout


@pytest.mark.asvs("15.2.1")
@pytest.mark.threat("supply-vulnerable-dependency")
def test_audit_that_cannot_reach_its_data_fails():
    """`make audit` must not succeed if it could not check anything."""
    unreachable = dict.fromkeys(("ALL_PROXY", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **unreachable, "UV_HTTP_RETRIES": "0", "NO_PROXY": "", "no_proxy": ""}
    audited = run_command(uv_path(), "audit", "--locked", env=environment)
    assert audited.returncode != 0
    assert "vulnerabilit" not in audited.stdout


def test_files_of_the_local_stage_are_private(environment):
    sign_up()
    assert keys(["rotate"]) == 0

    def modes(_):
        """Return the modes while a connection is open, so that SQLite's temporary files exist."""
        paths = environment.rglob("*")
        return {path.relative_to(environment).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in paths}

    found = read(modes)
    assert {"pepper", "audit-key", "keys/signing-key.pem", "secure-backend.sqlite3-wal"} <= found.keys()
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}

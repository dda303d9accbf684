"""The layers that `make build` creates, for each architecture."""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.requirements import require
from tests.support.runtime import PROJECT, run_command
from tests.support.sam import build_project
from tools.uv_path import uv_path

pytestmark = [pytest.mark.operations, pytest.mark.sam]

#: Lambda's limit for an unzipped function with its layers is 250 MB, and a cold start reads all files.
MAX_BYTES = 120 * 1024 * 1024
#: The layers, and the ELF number of their machine ("e_machine" in elf(5)).
MACHINES = {"CommonLayerX86": 62, "CommonLayerArm": 183}


@pytest.fixture(scope="module")
def python_313():
    """Return the folder of Python 3.13, which Lambda runs."""
    found = run_command("make", "--silent", "python-313")
    require(found.returncode == 0, "needs a Python 3.13, or uv's download of one")
    return found.stdout.strip()


@pytest.fixture(scope="module", params=MACHINES)
def layer(request, python_313):
    return build_project() / request.param


def run_makefile(name, sources, artifacts, **variables):
    """Build the layer ``name`` from a copy of its folder, as SAM CLI does."""
    arguments = (f"build-{name}", f"ARTIFACTS_DIR={artifacts}", f"UV={uv_path()}")
    return run_command("make", *arguments, cwd=sources, env={**os.environ, **variables})


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_each_source_file_has_bytecode_with_an_unchecked_hash(layer):
    sources = [path for path in layer.rglob("*.py") if "templates" not in path.parts]
    compiled = [Path(importlib.util.cache_from_source(str(path))) for path in sources]
    compiled = [path.with_name(re.sub(r"cpython-\d+", "cpython-313", path.name)) for path in compiled]
    assert len(sources) > 1000
    assert [path for path in compiled if not path.exists()] == []
    # PEP 552: flag 0b01 is "hash-based", and 0b10 is "check the source". A zip file contains no reliable times, and a
    # check is not necessary on Lambda.
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert flags == {0b01}


def test_layer_has_the_functions_packages_without_those_of_lambda(layer):
    packages = {path.name for path in (layer / "python").iterdir()}
    assert {"auth_common", "bcrypt", "fastapi", "jwt", "mangum", "psycopg", "sqlalchemy"} <= packages
    assert not {"boto3", "botocore", "pytest", "starlette.testclient", "samcli"} & packages


def test_layer_and_largest_function_are_small(layer):
    functions = [size(folder) for folder in layer.parent.iterdir() if folder.name.endswith("Function")]
    assert len(functions) > 10
    assert size(layer) + max(functions) < MAX_BYTES


def test_libraries_of_the_layer_have_its_architecture(layer):
    """A name such as "abi3.so" does not contain the architecture."""
    headers = [path.read_bytes()[:20] for path in layer.rglob("*.so*") if path.is_file()]
    assert len(headers) > 10
    assert {header[:4] for header in headers} == {b"\x7fELF"}
    assert {int.from_bytes(header[18:20], "little") for header in headers} == {MACHINES[layer.name]}


@pytest.mark.asvs("15.2.4")
@pytest.mark.threat("supply-replaced-dependency")
@pytest.mark.parametrize("name", MACHINES)
def test_requirement_with_a_wrong_hash_stops_the_build(name, tmp_path):
    requirements = (PROJECT / "layers" / "common" / "requirements.txt").read_text()
    bcrypt = requirements[requirements.index("bcrypt==") :].split("\n    # via")[0]
    tampered = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, bcrypt)
    for file in ("Makefile", "pyproject.toml"):
        (tmp_path / file).write_bytes((PROJECT / "layers" / "common" / file).read_bytes())
    (tmp_path / "auth_common").mkdir()
    (tmp_path / "requirements.txt").write_text(tampered)
    result = run_makefile(name, tmp_path, tmp_path / "artifacts")
    assert result.returncode != 0
    assert "Hash mismatch" in result.stderr


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.threat("supply-unknown-contents")
def test_builds_in_different_folders_are_identical(layer, python_313, tmp_path):
    """Otherwise each deployment would publish new versions, and a build could not verify a layer.

    The second build has another folder, another installing Python and another hash seed than the one of `make build`.
    """
    sources = tmp_path / "another" / "folder"
    shutil.copytree(PROJECT / "layers" / "common", sources)
    variables = {
        "PATH": f"{python_313}:{os.environ['PATH']}",
        "UV_PYTHON": sys.executable,
        "PYTHONHASHSEED": "7",
    }
    result = run_makefile(layer.name, sources, tmp_path / "artifacts", **variables)
    assert result.returncode == 0, result.stderr
    one, another = files_of(layer), files_of(tmp_path / "artifacts")
    assert one.keys() == another.keys()
    assert [path for path in one if one[path] != another[path]] == []


def test_tracebacks_name_files_in_opt(layer):
    """Lambda mounts a layer at /opt."""
    compiled = [path for path in layer.rglob("*.cpython-313.pyc") if "templates" not in path.parts]
    assert len(compiled) > 1000
    for path in compiled:
        source = Path("/opt", path.parent.parent.relative_to(layer), path.name.replace(".cpython-313.pyc", ".py"))
        assert str(source).encode() in path.read_bytes()

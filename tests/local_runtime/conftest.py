"""The local runtime as a process, over the small service in ``project/``."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.runtime import Runtime, running_runtime

PROBE_PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def probe_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of ``runtime``."""
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="session")
def runtime(probe_data: Path) -> Iterator[Runtime]:
    """The runtime over ``project/``, whose functions show what it does to them."""
    environment = {"OVERRIDABLE": "from the shell", "AWS_SECRET_ACCESS_KEY": "of the developer"}
    with running_runtime(probe_data, project=PROBE_PROJECT, env=environment) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def probe(runtime: Runtime) -> Iterator[httpx.Client]:
    """A client of ``runtime``."""
    with httpx.Client(base_url=runtime.url, timeout=60) as client:
        yield client


@pytest.fixture
def copied_project(tmp_path: Path) -> Path:
    """A copy of ``project/`` to change while it is served."""
    return Path(shutil.copytree(PROBE_PROJECT, tmp_path / "project"))
